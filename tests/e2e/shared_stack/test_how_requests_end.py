"""The table of docs/operations.md, "How requests end", row by row and in both response modes."""

import contextlib
import gzip
import socket
from collections.abc import Iterator

import httpx
import orjson
import pytest

from tests.support.own_engine import OwnEngine, Reply, usage_reply
from tests.support.ports import free_address
from tests.support.stack import PROMPT, Stack, on
from tests.support.tally import Tally
from tests.support.waiting import until

each_mode = on("impatient-metadata", "impatient-ext_proc")

EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8"}
ROLE = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
CONTENT = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "hello " * 30}}]}
"""As long as an event of a real engine, by whose size a charge is estimated."""


def pod_at(stack: Stack, address: str) -> dict[str, object]:
    """The pod as strategies see it."""
    pods = httpx.get(stack.variables["HTTP"] + "/debug/fleet", trust_env=False).json()
    return next(pod for pod in pods if pod["address"] == address)


def any_failing(stack: Stack) -> bool:
    stack.settled()
    return any(pod_at(stack, url.removeprefix("http://"))["failures"] for url in stack.engines)


@pytest.fixture(autouse=True)
def _whole_again(own: OwnEngine, stack: Stack) -> Iterator[None]:
    """The pod that a test made fail has answered again afterwards."""
    yield
    own.reset()
    stack.settled()
    stack.chat(stack.user(), model="own")
    stack.settled()


def events(*data: object) -> bytes:
    return b"".join(b"data: " + (each if isinstance(each, bytes) else orjson.dumps(each)) + b"\n\n" for each in data)


def stream_of(*data: object) -> Reply:
    return Reply(headers=EVENT_STREAM, pieces=(events(*data), b"data: [DONE]\n\n"))


def vllm_error(status: int) -> Reply:
    error = {"message": "no", "type": "BadRequestError", "param": None, "code": status}
    return Reply(status, orjson.dumps({"error": error}))


@each_mode
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 422, 429])
def test_an_engines_4xx_is_the_callers_and_blames_no_pod(stack: Stack, own: OwnEngine, status: int):
    user, tally = stack.user(), Tally(stack)
    own.answer = lambda _: vllm_error(status)

    answers = [stack.chat(user, model="own") for _ in range(3)]

    assert [status] * 3 == [answer.status_code for answer in answers]
    assert {"client_error": 3} == tally.outcomes()
    stack.uses(user, 3, 0)
    assert (0, False) == (pod_at(stack, own.address)["failures"], pod_at(stack, own.address)["ejected"])


@each_mode
@pytest.mark.parametrize(("status", "failures"), [(500, 1), (502, 1), (503, 1), (501, 0)])
def test_an_engines_5xx_is_the_pods_unless_it_cannot_do_what_was_asked(
    stack: Stack, own: OwnEngine, status: int, failures: int
):
    user, tally = stack.user(), Tally(stack)
    own.answer = lambda _: vllm_error(status)

    assert status == stack.chat(user, model="own").status_code

    assert {"upstream_error": 1} == tally.outcomes()
    stack.uses(user, 1, 0)
    assert failures == pod_at(stack, own.address)["failures"]


ERRORS = {
    "vLLM's, dead": ({"error": {"message": "x", "type": "InternalServerError", "code": 500}}, "upstream_error", 1),
    "vLLM's, busy": ({"error": {"message": "x", "code": 503}}, "upstream_error", 1),
    "a word for a server's": ({"error": {"message": "x", "code": "server_error"}}, "upstream_error", 1),
    "SGLang's, too long": ({"error": {"message": "x", "type": "BadRequestError", "code": 400}}, "client_error", 0),
    "OpenAI's, too long": ({"error": {"message": "x", "code": "context_length_exceeded"}}, "client_error", 0),
    "a type alone": ({"error": {"message": "x", "type": "invalid_request_error", "code": None}}, "client_error", 0),
    "Anthropic's, busy": ({"type": "error", "error": {"type": "overloaded_error"}}, "upstream_error", 0),
    "a message alone": ({"error": {"message": "x"}}, "upstream_error", 0),
    "a text": ({"error": "it died"}, "upstream_error", 0),
    "Responses'": ({"type": "response.failed", "response": {"status": "failed", "error": None}}, "upstream_error", 0),
    "Responses', named": ({"response": {"status": "failed", "error": {"code": "server_error"}}}, "upstream_error", 1),
    "Responses' event": ({"type": "error", "code": None, "message": "x", "param": None}, "upstream_error", 0),
    "an older vLLM's": ({"object": "error", "message": "x", "type": "BadRequestError", "code": 400}, "client_error", 0),
    "a word, bare": ({"type": "error", "message": "x", "code": "invalid_prompt"}, "client_error", 0),
    "bare": ({"message": "x", "code": 400}, "client_error", 0),
    "a long one": ({"error": {"message": "x" * 4000, "code": 400}}, "client_error", 0),
    "a long one, bare": ({"object": "error", "message": "x" * 4000, "code": 400}, "client_error", 0),
    "a long text": ({"error": "x" * 4000}, "upstream_error", 0),
}  # fmt: skip


@each_mode
@pytest.mark.parametrize(("error", "outcome", "failures"), ERRORS.values(), ids=ERRORS)
def test_an_error_instead_of_a_stream_costs_no_tokens_and_blames_whom_it_names(
    stack: Stack, own: OwnEngine, error: dict[str, object], outcome: str, failures: int
):
    user, tally = stack.user(), Tally(stack)
    own.answer = lambda _: stream_of(ROLE, error)

    assert 200 == stack.chat(user, model="own", stream=True).status_code

    assert {outcome: 1} == tally.outcomes()
    stack.uses(user, 1, 0)
    assert failures == pod_at(stack, own.address)["failures"]


@each_mode
def test_an_error_in_json_instead_of_a_stream_costs_no_tokens_however_long_it_is(stack: Stack, own: OwnEngine):
    user = stack.user()
    body = orjson.dumps({"error": {"message": "x" * 4000, "code": 400}})
    own.answer = lambda _: Reply(body=body, headers={"content-type": "application/json"})

    assert 200 == stack.chat(user, model="own", stream=True).status_code

    stack.uses(user, 1, 0)


@each_mode
def test_what_a_stream_produced_before_its_error_stays_charged(stack: Stack, own: OwnEngine):
    user, tally = stack.user(), Tally(stack)
    own.answer = lambda _: stream_of(ROLE, *[CONTENT] * 10, {"error": {"message": "x", "code": "server_error"}})

    stack.chat(user, model="own", stream=True)

    assert {"upstream_error": 1} == tally.outcomes()
    requests, tokens = stack.usage(user)
    assert (1, True) == (requests, 6 + 5 <= tokens <= 16 + 20), tokens


@each_mode
@pytest.mark.parametrize(
    ("error", "outcome", "failures"),
    [
        ({"message": "x", "code": "context_length_exceeded"}, "client_error", 0),
        ({"message": "x", "code": 500}, "upstream_error", 1),
        ("it died", "upstream_error", 0),
    ],
)
def test_an_error_in_a_json_answer_under_200_counts_as_one(
    stack: Stack, own: OwnEngine, error: object, outcome: str, failures: int
):
    user, tally = stack.user(), Tally(stack)
    own.answer = lambda _: Reply(body=orjson.dumps({"error": error}))

    assert 200 == stack.chat(user, model="own").status_code

    assert {outcome: 1} == tally.outcomes()
    stack.uses(user, 1, 0)
    assert failures == pod_at(stack, own.address)["failures"]


@each_mode
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_no_pod_accepted_costs_nothing(stack: Stack, stream: bool):
    user, tally = stack.user(), Tally(stack)
    nobody = [free_address(), free_address()]
    stack.serve("gone", *nobody)

    answer = stack.chat(user, model="gone", stream=stream)

    assert (503, "service_unavailable") == (answer.status_code, answer.json()["error"]["code"])
    assert {"upstream_error": 1} == tally.outcomes()
    stack.uses(user, 0, 0)


@each_mode
def test_a_request_whose_pod_cannot_be_reached_in_time_costs_nothing(stack: Stack):
    user, tally = stack.user(), Tally(stack)
    with full_backlog() as address:
        stack.serve("silent", address)
        answer = stack.chat(user, model="silent")
        failures = pod_at(stack, address)["failures"]

    assert 503 == answer.status_code
    assert {"upstream_error": 1} == tally.outcomes()
    stack.uses(user, 0, 0)
    assert failures


@contextlib.contextmanager
def full_backlog() -> Iterator[str]:
    """The address of a host that accepts no connection: its queue of them is full."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield "{}:{}".format(*listener.getsockname())


@each_mode
def test_a_request_that_a_pod_took_and_dropped_stays_counted_and_is_the_pods_fault(stack: Stack):
    user, tally = stack.user(), Tally(stack)
    stack.fault("close_idle", times=None)

    answer = stack.chat(user)

    stack.no_faults()
    assert 503 == answer.status_code
    assert {"upstream_error": 1} == tally.outcomes()
    stack.uses(user, 1, 0)
    pods = [pod_at(stack, url.removeprefix("http://")) for url in stack.engines]
    assert all(pod["failures"] for pod in pods)
    anywhere = {"routing-strategy": "random"}  # the default may well prefer one of them
    until(lambda: stack.chat(user, headers=anywhere).status_code == 200 and not any_failing(stack), limit_s=30)


@each_mode
def test_a_client_that_leaves_blames_no_pod(stack: Stack, own: OwnEngine):
    user, tally = stack.user(), Tally(stack)
    own.answer = lambda _: Reply(headers=EVENT_STREAM, pieces=(events(ROLE), *[events(CONTENT)] * 500))

    with stack.stream(user, model="own") as answer:
        next(answer.iter_raw())

    assert {"cut": 1} == tally.outcomes()
    requests, tokens = stack.usage(user)
    assert (1, True) == (requests, tokens >= 6)
    assert 0 == pod_at(stack, own.address)["failures"]


@each_mode
@pytest.mark.parametrize("count", [70, 90, 100, 120, 500])
def test_a_request_of_many_headers_is_served_or_refused_and_never_half_of_both(
    stack: Stack, own: OwnEngine, count: int
):
    user, tally = stack.user(), Tally(stack)

    answer = stack.chat(user, model="own", headers={f"x-many-{number}": "v" for number in range(count)})

    if answer.status_code == 200:
        assert {"ok": 1} == tally.outcomes()
        stack.uses(user, 1, 12)
    else:
        assert (431, "request_headers_too_large") == (answer.status_code, answer.json()["error"]["code"])
        assert {} == tally.outcomes()
        stack.uses(user, 0, 0)
    assert (count <= 80) == (answer.status_code == 200) or count == 90
    assert 0 == pod_at(stack, own.address)["failures"]


@each_mode
def test_headers_whose_bytes_are_too_many_are_refused(stack: Stack, own: OwnEngine):
    user, tally = stack.user(), Tally(stack)

    answer = stack.chat(user, model="own", headers={f"x-long-{number}": "v" * 2000 for number in range(31)})

    assert (431, "request_headers_too_large") == (answer.status_code, answer.json()["error"]["code"])
    assert {} == tally.outcomes()
    stack.uses(user, 0, 0)
    assert [] == own.received


@each_mode
def test_an_answer_of_a_hundred_headers_arrives_with_ours(stack: Stack, own: OwnEngine):
    user = stack.user()
    many = {f"x-engine-{number}": "v" for number in range(95)}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    own.answer = lambda _: Reply(body=orjson.dumps({"choices": [], "usage": usage}), headers=many)

    answer = stack.chat(user, model="own")

    assert (200, "v") == (answer.status_code, answer.headers["x-engine-94"])
    assert "999" == answer.headers["x-ratelimit-remaining-requests"]
    stack.uses(user, 1, 12)


@each_mode
def test_a_prompt_that_all_engines_find_too_long_sets_none_of_them_aside(stack: Stack):
    user = stack.user(tpm=100_000_000)
    long = [{"role": "user", "content": "word " * 200_000}]

    answers = [stack.chat(user, messages=long) for _ in range(4)]

    assert {400} == {answer.status_code for answer in answers}
    stack.settled()
    pods = [pod_at(stack, url.removeprefix("http://")) for url in stack.engines]
    assert [(0, False)] * len(pods) == [(pod["failures"], pod["ejected"]) for pod in pods]
    assert 200 == stack.chat(user, messages=PROMPT).status_code


@each_mode
@pytest.mark.parametrize(
    "media_type",
    ["Application/JSON", "APPLICATION/JSON; Charset=UTF-8", "application/json;charset=utf-8", "application/x+json", ""],
)
def test_the_usage_of_json_is_seen_however_its_media_type_is_written(stack: Stack, own: OwnEngine, media_type: str):
    user = stack.user()
    own.answer = lambda _: usage_reply(7, 5, content_type=media_type)

    assert media_type == stack.chat(user, model="own").headers["content-type"]

    stack.uses(user, 1, 12)


@each_mode
@pytest.mark.parametrize(
    "media_type", ["TEXT/EVENT-STREAM", "Text/Event-Stream; Charset=UTF-8", "text/event-stream;charset=utf-8"]
)
def test_the_usage_of_a_stream_is_seen_however_its_media_type_is_written(stack: Stack, own: OwnEngine, media_type: str):
    user, usage = stack.user(), {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    own.answer = lambda _: Reply(headers={"content-type": media_type}, pieces=(events(CONTENT, {"usage": usage}),))

    assert 200 == stack.chat(user, model="own", stream=True).status_code

    stack.uses(user, 1, 12)


@each_mode
@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_is_told_not_to_compress_and_one_that_does_is_charged_by_estimate(
    stack: Stack, own: OwnEngine, stream: bool
):
    user, tally = stack.user(), Tally(stack)
    body = events(*[CONTENT] * 5, {"usage": {"prompt_tokens": 7, "completion_tokens": 5}})
    media_type = EVENT_STREAM if stream else {"content-type": "application/json"}
    body = body if stream else usage_reply().body
    own.answer = lambda _: Reply(body=gzip.compress(body), headers={**media_type, "content-encoding": "gzip"})

    answer = stack.chat(user, model="own", stream=stream, max_tokens=30)

    assert ("gzip", body) == (answer.headers["content-encoding"], answer.content)
    assert "identity" == own.only.headers["accept-encoding"]
    assert {"ok": 1} == tally.outcomes()
    requests, tokens = stack.usage(user)
    assert (1, True) == (requests, 6 + 30 <= tokens <= 16 + 30), tokens


@each_mode
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions", "/v1/embeddings"])
def test_a_client_cannot_have_its_own_usage_charged(stack: Stack, own: OwnEngine, path: str):
    user = stack.user()
    forged = {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 0, "total_tokens": 0}}
    real = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    echo = {"metadata": forged, "tools": [forged], "text": orjson.dumps(forged).decode()}
    own.answer = lambda _: Reply(body=orjson.dumps({"usage": real, **echo}))
    fields = {"messages": PROMPT} if "chat" in path else {"input": "Say this"}

    assert 200 == stack.post(path, user, {"model": "own", **fields}).status_code

    stack.uses(user, 1, 12)


@each_mode
def test_a_client_cannot_have_its_own_usage_charged_in_a_stream(stack: Stack, own: OwnEngine):
    user = stack.user()
    forged = {"usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}}
    real = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    last = {"type": "response.completed", "response": {"usage": real, "metadata": forged, "tools": [forged]}}
    echo = {"type": "response.output_item.done", "item": forged, "delta": orjson.dumps(forged).decode()}
    own.answer = lambda _: stream_of({"type": "response.created", "response": {"metadata": forged}}, echo, last, echo)

    stack.post("/v1/responses", user, {"model": "own", "input": "Say this", "stream": True})

    stack.uses(user, 1, 12)
