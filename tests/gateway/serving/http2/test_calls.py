"""gRPC methods on a connection without a socket: order, statuses, and when memory is freed."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import orjson
import pytest

from gateway.pb import ext_proc_pb2 as pb
from gateway.pb import health_pb2 as health
from gateway.serving import framing
from gateway.serving.ext_proc_stream import ProtocolError
from gateway.serving.framing import Deframer, Unfinished, frame
from gateway.serving.http2 import calls
from gateway.serving.http2.calls import MAX_STATUS_CHARACTERS, open_call
from gateway.serving.http2.connection import Call, Connection, Stream
from gateway.serving.http2.frames import DEFAULT_WINDOW, rst_stream
from gateway.serving.service import ACCESS_LOG, HEALTH, Service
from ratelimit.limits import Charge, User, Verdict
from ratelimit.memory import MemoryLimiter
from tests.support.http2 import HELLO, PROCESS, Answer, data, opened
from tests.support.polling import until
from tests.support.shop import CHAT, Shop, a_service

CHECK, WATCH, LOGS = f"/{HEALTH}/Check", f"/{HEALTH}/Watch", f"/{ACCESS_LOG}/StreamAccessLogs"

pytestmark = pytest.mark.interpreted("a double for the ext_proc stream")


class Script:
    """An ext_proc stream: in a message `?` is a decision, `!` a defect, `-` nonsense, `.` the end, `0` no answer."""

    def __init__(self) -> None:
        self.decide = asyncio.Event()
        self.seen: list[bytes] = []
        self.ended = False
        self.closed_after: int | None = None
        self.abandoned = False

    def step(self, message: bytes) -> list[bytes] | Coroutine[Any, Any, list[bytes]]:
        self.seen.append(message)
        if b"?" in message:
            return self._decided(message)
        return self._answer(message)

    async def _decided(self, message: bytes) -> list[bytes]:
        await self.decide.wait()
        return self._answer(message)

    def _answer(self, message: bytes) -> list[bytes]:
        if b"!" in message:
            raise ZeroDivisionError
        if b"-" in message:
            raise ProtocolError("nonsense")
        if self.ended:
            return []
        self.ended = b"." in message
        return [] if b"0" in message else [b"re:" + message]

    def abandon(self) -> None:
        self.abandoned = True

    def close(self) -> None:
        if self.closed_after is None:  # more often is once
            self.closed_after = len(self.seen)


class Services:
    """A double of Service with the methods that calls use."""

    def __init__(self) -> None:
        self.script = Script()
        self.failures: list[str] = []
        self.logged: list[bytes] = []
        self.health_watches: list[str] = []
        self.unfinished, self.is_stopping = Unfinished(), False

    def ext_proc_stream(self) -> Script:
        return self.script

    def report_failure(self, method: str, error: Exception) -> None:
        self.failures.append(method)

    def settle_access_log(self, message: bytes) -> None:
        if message == b"!":
            raise RuntimeError
        self.logged.append(message)

    def knows_service(self, request: bytes) -> bool:
        return Service.knows_service(self, request)  # type: ignore[arg-type]  # needs nothing of it

    def health(self) -> bytes:
        return b"well"

    async def health_changes(self, request: bytes) -> AsyncIterator[bytes]:
        try:
            yield self.health()
            await asyncio.Event().wait()
        finally:
            self.health_watches.append("ended")


class Client:
    """Speaks HTTP/2 to the calls of a service."""

    def __init__(self, service: Any = None) -> None:
        self.service = service or Services()
        self.calls: list[Call] = []
        self.connection = Connection(self._open, no_flush)
        self.connection.receive(HELLO)
        self.sent = b""

    def _open(self, path: str, stream: Stream) -> Call:
        self.calls.append(open_call(self.service, self.connection, path, stream))
        return self.calls[-1]

    @property
    def script(self) -> Script:
        script: Script = self.service.script
        return script

    def says(self, *frames: bytes) -> Answer:
        """All replies on stream 1 so far."""
        self.connection.receive(b"".join(frames))
        return self.hears()

    def hears(self) -> Answer:
        self.sent += b"".join(self.connection.out)
        self.connection.out.clear()
        return Answer(self.sent)

    def asks(self, *messages: bytes, path: str = PROCESS, end: bool = False) -> Answer:
        return self.says(opened(1, path), data(1, b"".join(map(frame, messages)), end=end))

    async def decided(self) -> Answer:
        """Wait for the decisions, and return the replies since."""
        self.script.decide.set()
        await until(lambda: self.connection.undecided_calls == 0)
        return self.hears()


def no_flush() -> None:
    """Do nothing as `flush`: the tests read `out` themselves."""


def messages(answer: Answer) -> list[bytes]:
    return list(Deframer(Unfinished()).feed(answer.data))


async def test_messages_are_answered_as_they_come_and_the_client_s_end_is_the_end():
    client = Client()
    assert ([b"re:a", b"re:b"], None) == (messages(first := client.asks(b"a", b"b")), first.status)
    assert client.script.closed_after is None
    assert ([b"re:a", b"re:b"], "0") == (messages(last := client.says(data(1, b"", end=True))), last.status)
    assert 2 == client.script.closed_after


async def test_a_message_that_needs_no_answer_starts_none():
    assert [] == Client().asks(b"0").headers


async def test_messages_that_come_during_a_decision_are_answered_after_it_in_order():
    client = Client()
    assert [] == messages(client.asks(b"?1", b"2"))
    assert [] == messages(client.says(data(1, frame(b"3") + frame(b"?4")), data(1, frame(b"5"))))
    assert ([b"?1"], 1) == (client.script.seen, client.connection.undecided_calls)

    answer = await client.decided()
    await until(lambda: len(messages(client.hears())) == 5)

    assert [b"re:?1", b"re:2", b"re:3", b"re:?4", b"re:5"] == messages(client.hears())
    assert answer.status is None


async def test_the_client_s_end_during_a_decision_waits_for_it():
    client = Client()
    answer = client.asks(b"?1", b"2", end=True)
    assert (None, None) == (answer.status, client.script.closed_after)

    answer = await client.decided()

    assert ([b"re:?1", b"re:2"], "0", 2) == (messages(answer), answer.status, client.script.closed_after)


@pytest.mark.parametrize("last", [b".", b"?."])
async def test_what_comes_after_the_end_of_an_exchange_matters_no_more(last: bytes):
    client = Client()
    client.asks(last, b"more")
    answer = await client.decided()
    assert ([b"re:" + last], "0") == (messages(answer), answer.status)
    assert "0" == client.says(data(1, frame(b"and more"))).status
    assert [] == client.service.failures


@pytest.mark.parametrize("leaves", ["reset", "lost"])
async def test_a_client_that_leaves_during_a_decision_is_waited_for(leaves: str):
    client = Client()
    client.asks(b"?1", b"2")
    if leaves == "reset":
        client.says(rst_stream(1, 8))
    else:
        client.connection.on_lost()
    assert (None, True) == (client.script.closed_after, client.script.abandoned)

    answer = await client.decided()

    assert ([], 1, [b"?1"]) == (answer.headers, client.script.closed_after, client.script.seen)


async def test_a_client_that_leaves_otherwise_closes_its_stream_at_once():
    client = Client()
    client.asks(b"1")
    client.says(rst_stream(1, 8))
    assert 1 == client.script.closed_after


@pytest.mark.parametrize("nonsense", [b"\1\0\0\0\0", b"\0\xff\xff\xff\xff"])
async def test_nonsense_during_a_decision_is_refused_at_once_and_closes_after_it(nonsense: bytes):
    client = Client()
    client.asks(b"?1")
    assert client.says(data(1, nonsense)).status in {"3", "12"}
    assert client.script.closed_after is None

    await client.decided()

    assert 1 == client.script.closed_after


@pytest.mark.parametrize("sizes", [(60, 40), (0,) * 10])
async def test_what_waits_for_a_decision_is_bounded(sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calls, "MAX_MESSAGE_BYTES", sum(sizes) + len(sizes) * calls.QUEUED_MESSAGE_BYTES)
    client = Client()
    assert client.asks(b"?1", *map(bytes, sizes)).status is None
    assert "3" == client.says(data(1, frame(b""))).status
    await client.decided()
    assert 1 == client.script.closed_after


async def test_messages_that_have_not_arrived_whole_are_bounded_over_all_calls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(framing, "MAX_UNFINISHED_BYTES", 100)
    services = Services()
    first, second = Client(services), Client(services)
    part = frame(bytes(200))[:60]
    assert first.says(opened(1), data(1, part)).status is None
    assert "8" == second.says(opened(1), data(1, part)).status
    assert 60 == services.unfinished.held

    first.says(data(1, frame(bytes(200))[60:]))
    assert 0 == services.unfinished.held

    third = Client(services)
    third.says(opened(1), data(1, frame(b"?1") + part))
    assert 60 == services.unfinished.held
    third.says(rst_stream(1, 8))
    await third.decided()
    assert 0 == services.unfinished.held


@pytest.mark.parametrize("decision", [b"", b"?"])
@pytest.mark.parametrize(("fault", "status", "text", "reported"), [
    (b"-", "3", "nonsense", []), (b"!", "13", "internal error", [PROCESS]),
])  # fmt: skip
async def test_a_fault_ends_the_call_with_a_status_and_its_stream(
    decision: bytes, fault: bytes, status: str, text: str, reported: list[str]
):
    client = Client()
    client.asks(decision + fault, b"more")
    answer = await client.decided()
    assert (status, text) == (answer.status, answer.message)
    assert (reported, 1) == (client.service.failures, client.script.closed_after)


async def test_a_defect_of_a_decision_is_reported_although_its_client_left():
    client = Client()
    client.asks(b"?!")
    client.says(rst_stream(1, 8))
    await client.decided()
    assert ([PROCESS], 1) == (client.service.failures, client.script.closed_after)


async def test_a_stream_that_cannot_be_closed_does_not_keep_others_from_being():
    client = Client()
    client.script.close = lambda: 1 / 0  # type: ignore[assignment, method-assign, return-value]  # a defect
    client.says(opened(1), opened(3))
    client.connection.on_lost()
    assert [PROCESS, PROCESS] == client.service.failures


@pytest.mark.parametrize(("body", "status"), [(b"\1\0\0\0\0", "12"), (b"\0\xff\xff\xff\xff", "3")])
async def test_what_is_no_sequence_of_plain_messages_says_why(body: bytes, status: str):
    answer = Client().says(opened(1), data(1, body))
    assert (status, True) == (answer.status, bool(answer.message))


async def test_an_unknown_method_is_unimplemented_however_long_its_name():
    client = Client()
    answer = client.says(opened(1, "/é" + "x" * 7_000), data(1, frame(b"x"), end=True))
    assert ("12", True) == (answer.status, answer.message.startswith("unknown method /%C3%83"))
    assert len(answer.message) < MAX_STATUS_CHARACTERS + 20
    assert "12" == Answer(client.sent).headers[0]["grpc-status"]  # trailers only


async def test_a_health_check_is_answered():
    answer = Client().asks(b"", path=CHECK, end=True)
    assert ([b"well"], "0", []) == (messages(answer), answer.status, answer.reset)


@pytest.mark.parametrize(("request_", "status"), [(b"\n\1x", "5"), (b"\xff", "3")])
async def test_a_health_check_of_nothing_known_says_so(request_: bytes, status: str):
    assert status == Client().asks(request_, path=CHECK, end=True).status


async def test_a_watch_goes_on_until_the_client_leaves():
    client = Client()
    client.asks(b"", b"", path=WATCH, end=True)  # the second is one too many
    await until(lambda: messages(client.hears()) == [b"well"])
    assert client.hears().status is None

    client.says(rst_stream(1, 8))

    await until(lambda: client.service.health_watches == ["ended"])


async def test_a_malformed_message_ends_a_watch():
    client = Client()
    client.asks(b"", path=WATCH)
    await until(lambda: messages(client.hears()) == [b"well"])
    assert "3" == client.says(data(1, frame(b"\xff"))).status
    await until(lambda: client.service.health_watches == ["ended"])


async def test_access_logs_are_taken_until_the_client_ends():
    client = Client()
    assert [] == client.asks(b"a", b"b", path=LOGS).headers
    answer = client.says(data(1, frame(b"c"), end=True))
    assert ([b""], "0", [b"a", b"b", b"c"]) == (messages(answer), answer.status, client.service.logged)


async def test_a_defect_in_the_access_log_is_reported():
    client = Client()
    assert "13" == client.asks(b"!", path=LOGS).status
    assert [LOGS] == client.service.failures


async def test_answers_that_wait_for_a_window_are_not_lost_at_the_end():
    client = Client()
    answer = client.asks(bytes(DEFAULT_WINDOW), b".")
    assert (DEFAULT_WINDOW, None) == (len(answer.data), answer.status)
    answer = client.says(b"\0\0\4\x08\0\0\0\0\1\0\0\1\0", b"\0\0\4\x08\0\0\0\0\0\0\0\1\0")
    assert ("0", [b"re:" + bytes(DEFAULT_WINDOW), b"re:."]) == (answer.status, messages(answer))


def admission(user: str) -> bytes:
    headers, body = pb.ProcessingRequest(), pb.ProcessingRequest()
    for name, value in {":method": "POST", ":path": "/v1/chat/completions", "user": user}.items():
        headers.request_headers.headers.headers.add(key=name, raw_value=value.encode())
    headers.protocol_config.request_body_mode = pb.ProtocolConfiguration(request_body_mode=2).request_body_mode
    body.request_body.body, body.request_body.end_of_stream = orjson.dumps(CHAT), True
    return frame(headers.SerializeToString()) + frame(body.SerializeToString())


@pytest.mark.parametrize("leaving", [rst_stream(1, 8), data(1, b"\1\0\0\0\0"), data(1, b"", end=True)])
async def test_a_request_whose_client_leaves_while_it_is_admitted_is_settled(leaving: bytes):
    class Thoughtful(MemoryLimiter):
        async def reserve(self, charge: Charge) -> Verdict:
            await asyncio.sleep(0)
            return await super().reserve(charge)

    shop = Shop(limiter=Thoughtful(lambda name: User(name, tpm=1000), lambda: 1000.0))
    client = Client(a_service(shop))

    client.says(opened(1), data(1, admission("lgy")), leaving)
    assert 1 == client.connection.undecided_calls
    await until(lambda: client.connection.undecided_calls == 0)

    shop.now_s += shop.settings.limits.settle_grace_s + 1
    shop.ledger.expire()
    assert 0 == len(shop.ledger)
    assert 0 == shop.sample('forebay_requests_in_flight{model="m"}')


async def test_health_is_read_by_its_own_message():
    shop = Shop()
    client = Client(a_service(shop))
    (answer,) = messages(client.asks(b"", path=CHECK, end=True))
    assert health.HealthCheckResponse.SERVING == health.HealthCheckResponse.FromString(answer).status


@pytest.mark.parametrize("last", [rst_stream(1, 8), data(1, b"", end=True), data(1, b"\1\0\0\0\0")])
async def test_a_call_that_is_over_leaves_its_memory_at_once_not_when_garbage_is_collected(last: bytes):
    client = Client()
    client.asks(b"a")
    call = weakref.ref(client.calls.pop())
    assert call() is not None

    client.says(last)

    assert call() is None
