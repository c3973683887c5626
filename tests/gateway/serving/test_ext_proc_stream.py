"""One ext_proc stream, without a transport: bytes in, bytes out, counts back to zero."""

import asyncio
import gc

import orjson
import pytest

from gateway.accounting.outcomes import ObservedEnd
from gateway.config.settings import Settings
from gateway.pb import ext_proc_pb2 as pb
from gateway.serving import framing
from gateway.serving.ext_proc_stream import ExtProcStream, ProtocolError
from gateway.serving.framing import FramingError, Unfinished
from ratelimit.limits import User
from tests.support.shop import CHAT, Shop


def a_message(**part: object) -> bytes:
    return pb.ProcessingRequest(**part).SerializeToString()  # type: ignore[arg-type]  # one of its fields


def request_headers() -> bytes:
    request = pb.ProcessingRequest()
    for key, value in {":method": "POST", ":path": "/v1/chat/completions", "user": "lgy"}.items():
        request.request_headers.headers.headers.add(key=key, raw_value=value.encode())
    return request.SerializeToString()


def request_body(body: object = CHAT) -> bytes:
    return a_message(request_body=pb.HttpBody(body=orjson.dumps(body), end_of_stream=True))


def response_headers(status: str) -> bytes:
    request = pb.ProcessingRequest()
    request.response_headers.headers.headers.add(key=":status", raw_value=status.encode())
    return request.SerializeToString()


def a_stream(mode: str = "metadata", asks: str = "auto", **further: object) -> tuple[Shop, ExtProcStream]:
    settings = Settings.model_validate({"response_mode": mode, "ask_stream_usage": asks, **further})
    shop = Shop(settings, users={"lgy": User("lgy", 100, 10_000)})
    return shop, ExtProcStream(shop.settings, shop.admission, shop.ledger, Unfinished())


def expire(shop: Shop) -> None:
    """Let the time pass in which the access log should have told the end."""
    shop.now_s += shop.settings.limits.settle_grace_s + 0.1
    shop.ledger.expire()


async def test_a_request_is_routed_and_its_end_waits_for_the_access_log():
    shop, stream = a_stream()
    (first,) = await stream.feed(request_headers())
    (second,) = await stream.feed(request_body())
    assert "request_headers" == pb.ProcessingResponse.FromString(first).WhichOneof("response")
    assert pb.ProcessingResponse.FromString(second).dynamic_metadata["forebay"]["exchange"]

    stream.close()

    assert (0, 1) == (shop.sample('forebay_requests_in_flight{model="m"}'), len(shop.ledger))


async def test_with_responses_through_us_the_end_settles_at_once():
    shop, stream = a_stream("ext_proc")
    for message in (request_headers(), request_body(), response_headers("200")):
        await stream.feed(message)
    answer = b'{"usage":{"prompt_tokens":5,"completion_tokens":6}}'
    await stream.feed(a_message(response_body=pb.HttpBody(body=answer, end_of_stream=True)))
    assert stream.ended
    stream.close()
    assert 0 == len(shop.ledger)
    assert 6 == shop.sample('forebay_tokens_total{kind="output",model="m"}')


@pytest.mark.parametrize(("status", "outcome"), [("", "cut"), ("503", "upstream_error")])
async def test_a_stream_that_closes_early_is_judged_by_what_was_seen_if_no_access_log_explains_it(
    status: str, outcome: str
):
    shop, stream = a_stream("ext_proc")
    for message in (request_headers(), request_body(), *([response_headers(status)] if status else [])):
        await stream.feed(message)
    stream.close()
    assert (0, 1) == (shop.sample('forebay_requests_in_flight{model="m"}'), len(shop.ledger))

    expire(shop)

    assert 1 == shop.sample(f'forebay_requests_total{{model="m",outcome="{outcome}",strategy="forebay"}}')


async def test_a_complete_answer_without_its_headers_is_charged_by_estimate_and_not_free():
    shop, stream = a_stream("ext_proc")
    for message in (request_headers(), request_body()):
        await stream.feed(message)

    await stream.feed(a_message(response_body=pb.HttpBody(body=b'{"data":[]}', end_of_stream=True)))

    assert 1 == shop.sample('forebay_requests_total{model="m",outcome="unknown",strategy="forebay"}')
    assert 0 == shop.sample('forebay_tokens_total{kind="refunded",model="m"}')


async def test_a_message_out_of_turn_ends_a_routed_request_without_leaving_it_counted():
    shop, stream = a_stream("ext_proc")
    for message in (request_headers(), request_body()):
        await stream.feed(message)
    with pytest.raises(ProtocolError):
        await stream.feed(request_body())
    stream.close()
    expire(shop)
    assert (0, 0) == (shop.sample('forebay_requests_in_flight{model="m"}'), len(shop.ledger))


@pytest.mark.parametrize("mode", ["metadata", "ext_proc"])
async def test_a_refusal_that_passed_through_us_is_refunded_even_if_the_access_log_does_not_say_whose_it_is(mode: str):
    shop, stream = a_stream(mode)
    for message in (request_headers(), request_body(), response_headers("429")):
        await stream.feed(message)
    stream.close()
    expire(shop)
    assert 0 == len(shop.ledger)
    assert 0 < shop.sample('forebay_tokens_total{kind="refunded",model="m"}')


async def test_a_refusal_is_answered_and_ends_the_stream():
    shop, stream = a_stream()
    await stream.feed(request_headers())
    (reply,) = await stream.feed(request_body({"model": "other", "messages": CHAT["messages"]}))
    assert 404 == pb.ProcessingResponse.FromString(reply).immediate_response.status.code
    assert stream.ended
    stream.close()
    assert 0 == len(shop.ledger)


@pytest.mark.parametrize(("settings", "users"), [({}, {}), ({"identity": "api_key", "anonymous": "deny"}, {})])
async def test_a_stranger_is_refused_by_the_headers(settings: dict[str, str], users: dict[str, User]):
    shop = Shop(Settings.model_validate(settings), users=users)
    stream = ExtProcStream(shop.settings, shop.admission, shop.ledger, Unfinished())
    (reply,) = await stream.feed(request_headers())
    assert 401 == pb.ProcessingResponse.FromString(reply).immediate_response.status.code
    assert stream.ended


@pytest.mark.parametrize("message", [b"\xff\xff", b"", request_body()])
async def test_nonsense_is_a_protocol_error(message: bytes):
    _, stream = a_stream()
    with pytest.raises(ProtocolError):
        await stream.feed(message)


async def test_a_body_that_was_sent_on_is_not_held_as_long_as_its_answer_runs():
    _, stream = a_stream(asks="always")
    await stream.feed(request_headers())
    text = "held? " * 1_000
    asked = {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}
    replies = await stream.feed(request_body(asked))
    assert len(replies[0]) > len(text)  # it asks for usage now, so that the whole body goes back to Envoy

    held = [each for each in gc.get_referents(stream, stream._exchange) if isinstance(each, bytes | list)]

    assert [] == [each for each in held if each and (isinstance(each, list) or len(each) > 1000)]


async def test_bodies_that_have_not_arrived_whole_are_bounded_over_all_streams(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(framing, "MAX_UNFINISHED_BYTES", 100)
    shop, unfinished = Shop(users={"lgy": User("lgy", 100, 10_000)}), Unfinished()
    piece = a_message(request_body=pb.HttpBody(body=bytes(60)))
    first, second = [ExtProcStream(shop.settings, shop.admission, shop.ledger, unfinished) for _ in range(2)]
    for stream in (first, second):
        await stream.feed(request_headers())
    await first.feed(piece)
    with pytest.raises(FramingError):
        await second.feed(piece)
    second.close()
    assert 60 == unfinished.held
    first.close()
    assert 0 == unfinished.held


async def drained(shop: Shop) -> bool:
    return await shop.ledger.drain(0.01)


async def test_a_drain_waits_for_a_request_whose_body_is_still_to_come():
    shop, stream = a_stream()
    await stream.feed(request_headers())
    assert not await drained(shop)

    await stream.feed(request_body())
    assert not await drained(shop)
    shop.ledger.ended(next(iter(shop.ledger._open)), ObservedEnd(200))

    assert await drained(shop)
    stream.close()
    assert (await drained(shop), 1) == (True, shop.ledger.begun)


async def test_a_drain_waits_for_a_request_that_waits_for_a_pod():
    shop, stream = a_stream(routing={"slo_ttft_s": 4.0})
    for pod in shop.fleet.pods():
        pod.speed.known, pod.prefill_done_at_s = True, shop.now_s + 2.5
    await stream.feed(request_headers())
    decision = asyncio.create_task(stream.feed(request_body()))
    assert not await drained(shop)

    shop.now_s += 1.0
    shop.queue.advance(shop.now_s)
    assert await decision
    stream.close()
    assert not await drained(shop)
    expire(shop)
    assert await drained(shop)


async def test_a_drain_does_not_wait_for_a_stream_that_is_over():
    shop, stream = a_stream()
    await stream.feed(request_headers())
    stream.close()
    stream.close()  # after a refusal both the call and the decision that made it close the stream
    assert await drained(shop)
