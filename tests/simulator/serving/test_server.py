import asyncio
import json
import signal
import socket
import sys
from contextlib import asynccontextmanager

import httpx
import pytest

from simulator.core.gpus import GPUS
from simulator.serving.server import serve
from tests.support.engines import a_chat, an_engine, figure, until_figure
from tests.support.shapes import events

CHAT = "/v1/chat/completions"


@asynccontextmanager
async def an_engine_process(**options):
    """A process that runs `serve`, and a client of it."""
    call = f"from simulator.serving.server import serve; serve('tiny', '127.0.0.1', 0, **{options!r})"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", call, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        async with httpx.AsyncClient(base_url=line.split()[-1], timeout=30) as client:
            yield process, client, line
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_running_streams_with_an_error_and_the_process_with_zero(number):
    async with an_engine_process(name="pod-a", tokens_per_s=0.001) as (process, client, line):
        assert line.startswith("engine pod-a: http://127.0.0.1:")
        async with client.stream("POST", CHAT, json=a_chat(stream=True)) as reply:
            process.send_signal(number)
            body = await reply.aread()
        _, errors = await asyncio.wait_for(process.communicate(), 30)

    assert (500, "[DONE]") == (events(body)[0]["error"]["code"], events(body)[1])
    assert (0, b"") == (process.returncode, errors)


async def test_options_reach_the_engine():
    options = {"gpu": "A10", "max_running": 1, "adapters": ("ad1",), "max_model_len": 512, "tokens_per_s": 1e4}
    async with an_engine_process(**options) as (_, client, _):
        models = (await client.get("/v1/models")).json()["data"]
        blocks = await figure(client, "vllm:cache_config_info", num_gpu_blocks=str(GPUS["A10"].kv_blocks))

    assert ["tiny", "ad1"] == [model["id"] for model in models]
    assert 512 == models[0]["max_model_len"]
    assert 1 == blocks


async def test_fifty_engines_run_in_one_process_each_by_itself():
    call = "from simulator.serving.server import serve; serve('tiny', '127.0.0.1', 0, count=50, name='pod')"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", call, stdout=asyncio.subprocess.PIPE)
    try:
        lines = [(await asyncio.wait_for(process.stdout.readline(), 30)).decode().split() for _ in range(50)]
        async with httpx.AsyncClient(timeout=30) as client:
            answers = await asyncio.gather(*(client.post(url + CHAT, json=a_chat()) for _, _, url in lines))
            pages = await asyncio.gather(*(client.get(url + "/metrics") for _, _, url in lines))
        process.send_signal(signal.SIGTERM)
        assert 0 == await asyncio.wait_for(process.wait(), 30)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()

    assert ["pod-1:", "pod-50:"] == [lines[0][1], lines[-1][1]]
    assert {200} == {answer.status_code for answer in answers}
    assert 50 == sum('vllm:generation_tokens_total{engine="0",model_name="tiny"} 5.0' in page.text for page in pages)


def test_endpoints_of_several_engines_are_counted_up():
    with pytest.raises(ValueError, match="must end in a port"):
        serve("tiny", "127.0.0.1", 0, count=2, kv_events="ipc://kv")


def test_an_impossible_option_is_refused_before_anything_listens():
    with pytest.raises(ValueError, match="abacus"):
        serve("tiny", "127.0.0.1", 0, gpu="abacus")


def test_a_taken_port_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve("tiny", "127.0.0.1", taken.getsockname()[1])


async def test_an_engine_in_a_test_is_gone_after_its_block():
    async with an_engine() as (running, _):
        pass

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*running.address.split(":"))


async def test_a_request_that_a_fault_holds_does_not_hold_the_exit():
    async with httpx.AsyncClient(timeout=30) as holder:
        async with an_engine() as (running, client):
            await client.post("/sim/fault", json={"kind": "never_answer"})
            request = asyncio.create_task(holder.post(running.url + CHAT, json=a_chat()))
            await until_figure(client, 5, "vllm:generation_tokens_total")

        assert 500 == (await request).status_code


async def test_an_idle_connection_is_closed_after_five_seconds():
    async with an_engine() as (running, _):
        host, port = running.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        loop = asyncio.get_running_loop()
        idle_since_s = loop.time()
        rest = await asyncio.wait_for(reader.read(), 60)
        writer.close()

    assert head.startswith(b"HTTP/1.1 200")
    assert b"" == rest
    assert loop.time() - idle_since_s > 4


async def stream_over_a_socket(address, body):
    """The raw answer; a thousand of an HTTP client's streams would measure that client."""
    reader, writer = await asyncio.open_connection(*address.split(":"))
    headers = ("host: x", "connection: close", "content-type: application/json", f"content-length: {len(body)}")
    writer.write("\r\n".join((f"POST {CHAT} HTTP/1.1", *headers, "", "")).encode() + body)
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_thousand_streams_run_at_once_and_none_is_lost():
    body = json.dumps(a_chat(stream=True, max_tokens=3)).encode()
    async with an_engine() as (running, client):
        await client.post("/sleep")
        streams = [asyncio.create_task(stream_over_a_socket(running.address, body)) for _ in range(1000)]
        await until_figure(client, 1000, "vllm:num_requests_waiting")
        await client.post("/sim/speed", json={"tokens_per_s": 1})
        await client.post("/wake_up")
        await until_figure(client, 1000, "vllm:num_requests_running")
        await client.post("/sim/speed", json={"tokens_per_s": 10})
        answers = await asyncio.gather(*streams)

        assert {1 + 3 + 1} == {answer.count(b"data: ") for answer in answers}
        assert 3000 == await figure(client, "vllm:generation_tokens_total")
        assert 0 == await figure(client, "vllm:num_requests_running")
