"""TLS on real sockets: who is let in, who is told what, and clients that stall."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from structlog.testing import capture_logs

from gateway.config.settings import Settings
from gateway.serving.certificates import Certificates
from gateway.serving.framing import frame as message
from gateway.serving.http2 import server
from gateway.serving.http2.frames import GOAWAY, frame
from gateway.serving.http2.tls import Tls
from gateway.serving.service import HEALTH
from tests.support.certificates import NAME, Authority, an_authority
from tests.support.http2 import HELLO, Answer, data, frames_of, opened
from tests.support.http2_server import ENOUGH_S, Running, read_frame, running_server
from tests.support.polling import until

CHECK = f"/{HEALTH}/Check"
CALL = HELLO + opened(1, CHECK) + data(1, message(b""), end=True)


class Pki(NamedTuple):
    """The files of one installation."""

    ca: Authority
    cert: Path
    key: Path

    def settings(self, **tls: object) -> Settings:
        """Settings that demand certificates of clients."""
        files = {"cert": str(self.cert), "key": str(self.key), "client_ca": str(self.ca.cert)}
        return Settings.model_validate({"listen": {"tls": {**files, **tls}}})

    def client(self, by: Authority | None) -> ssl.SSLContext:
        """The context of a client with a certificate by that authority, or with none."""
        context = ssl.create_default_context(cafile=str(self.ca.cert))
        context.set_alpn_protocols(["h2"])
        if by is not None:
            context.load_cert_chain(*by.sign("envoy"))
        return context


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    ca = an_authority(tmp_path_factory.mktemp("pki"))
    return Pki(ca, *ca.sign("gateway"))


@pytest.fixture
def logs() -> Iterator[list[dict[str, object]]]:
    with capture_logs() as captured:
        yield captured


@pytest.fixture
async def running(pki: Pki) -> AsyncIterator[Running]:
    async with running_server(Certificates(pki.settings())) as one:
        yield one


async def status_of_a_call(running: Running, tls: ssl.SSLContext) -> str | None:
    """The gRPC status of one call on a connection of its own."""
    reader, _ = await running.connect(CALL, tls=tls)
    sent = b""
    while not Answer(sent).ended:
        sent += frame(*await read_frame(reader))
    return Answer(sent).status


async def read(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes, however it does."""
    received = b""
    with suppress(ConnectionError, ssl.SSLError):
        while piece := await asyncio.wait_for(reader.read(65536), ENOUGH_S):
            received += piece
    return received


async def test_a_client_with_a_certificate_is_served_over_http_2(running: Running, pki: Pki):
    assert "0" == await status_of_a_call(running, pki.client(pki.ca))

    _, writer = await running.connect(tls=pki.client(pki.ca))
    shaken: ssl.SSLObject = writer.get_extra_info("ssl_object")
    assert ("h2", "TLSv1.3") == (shaken.selected_alpn_protocol(), shaken.version())


async def test_a_client_without_the_right_certificate_is_refused_and_the_log_says_why_once(
    running: Running, pki: Pki, tmp_path: Path, logs: list[dict[str, object]]
):
    for by in (None, an_authority(tmp_path, "other")):
        for _ in range(2):
            reader, _ = await running.connect(CALL, tls=pki.client(by))
            assert b"" == await read(reader)

    assert [
        ("connection_refused", "TLS: peer did not return a certificate"),
        ("connection_refused", "the client's certificate: unable to get local issuer certificate"),
    ] == [(line["event"], line["why"]) for line in logs]


async def test_tls_1_1_is_refused(running: Running, pki: Pki):
    context = pki.client(pki.ca)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await running.connect(tls=context)


async def test_plain_text_is_answered_in_plain_text_and_logged_once(running: Running, logs: list[dict[str, object]]):
    for said in (b"GET / HTTP/1.1\r\n\r\n", HELLO, b"x"):
        reader, _ = await running.connect(said)
        answer = await read(reader)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"gRPC over HTTP/2, with TLS" in answer

    assert ["the client speaks no TLS, this address does"] == [line["why"] for line in logs]


async def test_http_1_over_tls_is_told_so(running: Running, pki: Pki):
    reader, _ = await running.connect(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", tls=pki.client(pki.ca))

    assert (await read(reader)).startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_tls_to_an_address_without_it_is_logged_once(pki: Pki, logs: list[dict[str, object]]):
    async with running_server() as plain:
        for _ in range(2):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await plain.connect(tls=pki.client(pki.ca))

        assert ["the client speaks TLS, this address does not"] == [line["why"] for line in logs]


async def test_many_that_stall_in_the_handshake_keep_nobody_out_and_end(
    running: Running, pki: Pki, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "MAX_STRANGERS", 50)
    stalled = [await running.connect() for _ in range(120)]
    for _, writer in stalled[::2]:
        writer.write(b"\x16\x03\x01\x02\x00")  # the head of a ClientHello

    assert "0" == await status_of_a_call(running, pki.client(pki.ca))
    await until(lambda: len(running.server._clients) <= 50)
    assert 50 >= len(running.server._clients.strangers)


async def test_a_client_that_never_ends_its_handshake_is_disconnected(
    running: Running, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "PREFACE_S", 0.05)
    reader, _ = await running.connect(b"\x16\x03\x01\x02\x00")

    assert b"" == await read(reader)
    await until(lambda: not running.server._clients)


async def test_a_client_that_says_nothing_after_its_handshake_is_disconnected(
    running: Running, pki: Pki, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "PREFACE_S", 0.5)
    reader, _ = await running.connect(tls=pki.client(pki.ca))

    assert b"" == await read(reader)
    await until(lambda: not running.server._clients)


async def test_a_server_that_stops_says_so_also_while_another_client_stalls_in_its_handshake(
    running: Running, pki: Pki
):
    reader, _ = await running.connect(HELLO, tls=pki.client(pki.ca))
    sent = frame(*await read_frame(reader))
    stalled, _ = await running.connect(b"\x16\x03\x01")
    await until(lambda: 2 == len(running.server._clients))

    await running.server.stop(0)

    sent += await asyncio.wait_for(reader.read(), ENOUGH_S)
    assert GOAWAY == frames_of(sent)[-1].kind
    assert b"" == await read(stalled)


def shaken_by_hand(pki: Pki, piece: int) -> tuple[Tls, ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """A server's TLS and a client's, shaken by pieces of so many bytes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = pki.client(pki.ca).wrap_bio(incoming, outgoing, server_hostname=NAME)
    tls = Tls(Certificates(pki.settings()).loaded.grpc)
    while not tls.shaken:
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        sent = outgoing.read()
        for start in range(0, len(sent), piece):
            assert b"" == tls.receive(sent[start : start + piece])
            incoming.write(tls.take())
    client.do_handshake()
    return tls, client, incoming, outgoing


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_what_is_said_arrives_whole_however_it_is_cut(pki: Pki, piece: int):
    tls, client, incoming, outgoing = shaken_by_hand(pki, piece)
    said = bytes(range(256)) * 400

    client.write(said)
    sent = outgoing.read()
    heard = b"".join(tls.receive(sent[start : start + piece]) for start in range(0, len(sent), piece))
    incoming.write(tls.protect(said))
    answered = b""
    while len(answered) < len(said):
        answered += client.read(65536)

    assert said == heard == answered
    assert b"" == tls.take()


def test_nothing_is_read_after_the_client_said_the_end(pki: Pki):
    tls, client, _, outgoing = shaken_by_hand(pki, 100_000)
    client.write(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        client.unwrap()

    assert b"last" == tls.receive(outgoing.read() + b"\x17\x03\x03\x00\x01x")
    assert tls.end()


def test_a_broken_record_is_an_error_and_the_client_is_told(pki: Pki):
    tls, client, _, outgoing = shaken_by_hand(pki, 100_000)
    client.write(b"hello")
    record = bytearray(outgoing.read())
    record[-1] ^= 1

    with pytest.raises(ssl.SSLError):
        tls.receive(bytes(record))
    assert tls.take()
