"""Engines named by URL, asked what they serve."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson
import pytest

from forebay.local.engine_url import Engine, EngineError, EngineUrl, ask_engine, ask_engines, parse_engine_url
from tests.support.engines import an_engine
from tests.support.ports import free_port


@contextlib.asynccontextmanager
async def answering(pages: dict[str, tuple[int, object]]) -> AsyncIterator[EngineUrl]:
    """An HTTP server with these pages, path -> status and JSON or bytes; every other path is 404."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readline()).split()[1].decode()
        status, content = pages.get(path, (404, b""))
        body = content if isinstance(content, bytes) else orjson.dumps(content)
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (status, len(body), body))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield EngineUrl("127.0.0.1", server.sockets[0].getsockname()[1])


def cards(*models: object, owner: str = "me") -> tuple[int, object]:
    return 200, {"data": [{"id": model, "owned_by": owner} for model in models]}


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://10.0.0.1:8000", EngineUrl("10.0.0.1", 8000)),
        ("http://gpu1.lan:8000/", EngineUrl("gpu1.lan", 8000)),
        ("http://gpu1:8000/v1", EngineUrl("gpu1", 8000)),
        ("http://gpu1/v1/", EngineUrl("gpu1", 80)),
        ("http://[::1]:8000", EngineUrl("::1", 8000)),
    ],
)
def test_a_url_names_host_and_port(text: str, url: EngineUrl):
    assert url == parse_engine_url(text)
    assert url == parse_engine_url(str(url))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https://gpu1:8000", "https is not supported"),
        ("gpu1:8000", "must be http://host:port"),
        ("gpu1", "must be http://host:port"),
        ("", "must be http://host:port"),
        ("http://:8000", "must be http://host:port"),
        ("http://user:secret@gpu1:8000", "must be http://host:port"),
        ("http://gpu1:8000/v2", "must be http://host:port"),
        ("http://gpu1:8000?a=b", "must be http://host:port"),
        ("http://gpu 1:8000", "must be http://host:port"),
        ("http://gpu1:0", "port of 1 to 65535"),
        ("http://gpu1:65536", "port of 1 to 65535"),
        ("http://gpu1:x", "port of 1 to 65535"),
        ("http://[::1:8000", "Invalid IPv6 URL"),
    ],
)
def test_what_is_no_url_of_an_engine_says_why(text: str, why: str):
    with pytest.raises(ValueError, match=why):
        parse_engine_url(text)


@pytest.mark.parametrize("metrics", ["vllm", "sglang"])
async def test_an_engine_tells_its_kind_its_models_and_their_adapters(metrics: str):
    async with an_engine(model="m", adapters=("a", "b"), metrics=metrics) as (running, _):
        url = EngineUrl("localhost", int(running.address.rpartition(":")[2]))

        assert [(url, Engine(running.address, metrics, {"m": ("a", "b")}))] == await ask_engines([url])


@pytest.mark.parametrize(("owner", "kind"), [("sglang", "sglang"), ("tensorrt_llm", "trtllm"), ("llamacpp", "other")])
async def test_an_engine_without_metrics_is_known_by_who_owns_its_models(owner: str, kind: str):
    async with answering({"/v1/models": cards("m", "n", owner=owner)}) as url:
        assert Engine(url.name, kind, {"m": (), "n": ()}) == await ask_engine(url)


async def test_the_kind_of_a_known_engine_is_kept():
    async with answering({"/v1/models": cards("n")}) as url:
        assert Engine(url.name, "sglang", {"n": ()}) == await ask_engine(url, Engine(url.name, "sglang", {"m": ()}))


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ((401, b""), "wants an API key"),
        ((404, b""), "/v1/models answers 404"),
        ((200, b"<html>"), "does not answer a list of models"),
        ((200, {"models": []}), "does not answer a list of models"),
        ((200, [1]), "does not answer a list of models"),
        ((200, {"data": ["m"]}), "does not answer a list of models"),
    ],
)
async def test_what_is_no_engine_says_why(page: tuple[int, object], why: str):
    async with answering({"/v1/models": page}) as url:
        with pytest.raises(EngineError, match=why):
            await ask_engine(url)


async def test_an_engine_that_is_not_there_says_why():
    for url, why in (
        (EngineUrl("127.0.0.1", free_port()), "cannot be reached: connection refused"),
        (EngineUrl("no-such-host.invalid", 80), "the name no-such-host.invalid has no address"),
    ):
        with pytest.raises(EngineError, match=why):
            await ask_engines([url])
