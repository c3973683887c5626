"""Requests reach the engine and answers come back with every byte that the gateway has no reason to change."""

import orjson
import pytest

from tests.support.own_engine import OwnEngine, Reply, usage_reply
from tests.support.raw_http import exchange, request
from tests.support.stack import Stack, on

ODD = (
    b'{ "model" :"own","messages":[{"role":"user","content":"\\u00e9\xc3\xa9 \\ud83d\\ude00"}],\t'
    b'"x_unknown":{"b":1.50,"a":[1e3,null]},"x_unknown":2 }\r\n'
)
"""Legal, and every serialiser would write it differently."""
GATEWAYS_OWN = ("x-forebay-decision", "X-Forebay-Anything", "target-pod", "target-pod-ip",
                "x-gateway-destination-endpoint", "x-envoy-max-retries", "x-envoy-upstream-rq-timeout-ms")  # fmt: skip

where_requests_differ = on("http2-metadata", "http2-full_duplex")
where_answers_differ = on("http2-metadata", "http2-ext_proc")


def sent(stack: Stack, user: str, body: bytes, *headers: bytes, path: str = "/v1/chat/completions") -> int:
    named = (b"user: " + user.encode(), *headers)
    return exchange(stack.variables["GATEWAY"], request(path, body, *named)).status


@where_requests_differ
def test_a_body_arrives_byte_for_byte(stack: Stack, own: OwnEngine):
    user = stack.user()

    assert 200 == sent(
        stack, user, ODD, b"content-type: application/json; charset=utf-8", path="/v1/chat/completions?a=b"
    )

    assert ODD == own.only.body
    assert "/v1/chat/completions?a=b" == own.only.path
    assert "application/json; charset=utf-8" == own.only.headers["content-type"]
    stack.uses(user, 1, 12)


@where_requests_differ
def test_a_body_in_chunks_arrives_whole(stack: Stack, own: OwnEngine):
    user = stack.user()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(ODD[at : at + 9]), ODD[at : at + 9]) for at in range(0, len(ODD), 9))

    assert 200 == sent(stack, user, chunks + b"0\r\n\r\n", b"transfer-encoding: chunked")

    assert ODD == own.only.body
    stack.uses(user, 1, 12)


@where_requests_differ
def test_a_prompt_of_a_megabyte_arrives_whole(stack: Stack, own: OwnEngine):
    user = stack.user(rpm=10, tpm=10_000_000)
    body = orjson.dumps({"model": "own", "messages": [{"role": "user", "content": "word " * 200_000}]})

    assert 200 == sent(stack, user, body)

    assert body == own.only.body
    stack.uses(user, 1, 12)


def test_a_stream_arrives_as_it_was_sent_where_nothing_hides_its_usage(stack: Stack, own: OwnEngine):
    body = ODD.replace(b'"x_unknown":2', b'"stream":true')

    assert 200 == sent(stack, stack.user(), body)

    assert body == own.only.body


@on("http2-ext_proc", "http2-full_duplex")
def test_usage_is_asked_for_when_a_stream_does_not_and_nothing_else_changes(stack: Stack, own: OwnEngine):
    body = ODD.replace(b'"x_unknown":2', b'"stream":true')

    assert 200 == sent(stack, stack.user(), body)

    arrived = own.only.body
    assert {"include_usage": True} == orjson.loads(arrived)["stream_options"]
    assert body == arrived.replace(b'"stream_options":{"include_usage":true},', b"", 1)
    # In full duplex Envoy takes the length away, because the body may change while it passes.
    assert own.only.headers.get("content-length", str(len(arrived))) == str(len(arrived))


def test_a_stream_that_asks_for_usage_itself_is_not_touched(stack: Stack, own: OwnEngine):
    body = ODD.replace(b'"x_unknown":2', b'"stream":true,"stream_options":{"include_usage":true}')

    assert 200 == sent(stack, stack.user(), body)

    assert body == own.only.body


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/completions", {"prompt": ["a", "b"]}),
        ("/v1/embeddings", {"input": [1, 2, 3]}),
        ("/v1/responses", {"input": "hello"}),
        ("/v1/messages", {"max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}),
        ("/v1/rerank", {"query": "q", "documents": ["a", "b"]}),
        ("/v1/score", {"text_1": "a", "text_2": ["b"]}),
        ("/v1/classify", {"input": "a"}),
        ("/v1/images/generations", {"prompt": "a lake"}),
    ],
)
@where_answers_differ
def test_every_operation_is_forwarded_and_charged_by_what_the_engine_says(
    stack: Stack, own: OwnEngine, path: str, fields: dict[str, object]
):
    user = stack.user()
    body = orjson.dumps({"model": "own", "extra": True, **fields})

    assert 200 == sent(stack, user, body, path=path)

    assert (path, body) == (own.only.path, own.only.body)
    stack.uses(user, 1, 12)


@pytest.mark.parametrize("operation", ["transcriptions", "translations"])
def test_a_form_with_sound_is_forwarded(stack: Stack, own: OwnEngine, operation: str):
    form = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nown\r\n'
    form += b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\x00\xff\r\n--b--\r\n'

    kind = b"content-type: multipart/form-data; boundary=b"
    assert 200 == sent(stack, stack.user(), form, kind, path=f"/v1/audio/{operation}")

    assert form == own.only.body


@where_requests_differ
def test_an_engine_hears_nothing_that_only_the_gateway_may_say(stack: Stack, own: OwnEngine):
    claims = dict.fromkeys(GATEWAYS_OWN, "mine")

    answer = stack.chat(stack.user(), model="own", headers={**claims, "x-other": "kept", "x-request-id": "r-1"})

    arrived = own.only.headers
    assert (200, "kept", "r-1") == (answer.status_code, arrived["x-other"], arrived["x-request-id"])
    assert [] == [name for name, value in arrived.items() if value == "mine"]
    assert [] == [name for name in arrived if name.startswith(("x-forebay-", "target-pod", "x-gateway-"))]


TWINS = ("x_forebay_decision", "x-forebay_x", "target_pod", "X_Gateway_Destination_Endpoint", "routing_strategy",
         "external_filter", "x_api_key", "x_session_id", "dry_run", "x_envoy_max_retries", "proxy_authorization",
         "config_profile", "x_request-id")  # fmt: skip


@on("http2-metadata", "http2-ext_proc", "http2-full_duplex")
def test_an_engine_sees_no_twin_of_a_control_header_and_no_password_for_proxies(stack: Stack, own: OwnEngine):
    claims = dict.fromkeys((*TWINS, "proxy-authorization"), "mine")

    answer = stack.chat(stack.user(), model="own", headers={**claims, "x-other": "kept"})

    assert (200, "kept") == (answer.status_code, own.only.headers["x-other"])
    assert [] == [name for name, value in own.only.headers.items() if value == "mine"]


@pytest.mark.parametrize(
    "headers",
    [
        [(b"user", b"lgy"), (b"user", b"lgy")],
        [(b"user", "a\u200bb".encode())],
        [(b"user", b"a\x80b")],
        [(b"user", b"a,b")],
    ],
    ids=["two", "zero-width", "not UTF-8", "comma"],
)
def test_a_user_that_can_be_nobody_is_refused(stack: Stack, headers: list[tuple[bytes, bytes]]):
    answer = stack.users.post("/v1/chat/completions", json=stack.body(), headers=headers)

    assert (401, "true") == (answer.status_code, answer.headers["x-error-user"])


def test_what_a_client_takes_off_itself_is_as_if_it_had_not_sent_it(stack: Stack, own: OwnEngine):
    """Envoy's HTTP/1 removes what `connection` names before any filter sees it (docs/limits.md)."""
    name = stack.user(rpm=0)
    line = request("/v1/chat/completions", ODD, b"user: " + name.encode(), b"connection: user")

    assert (200, 429) == (exchange(stack.variables["GATEWAY"], line).status, sent(stack, name, ODD))
    for nominated in (b"x-forwarded-for", b":path", b"a,b,c,d,e,f,g,h,i,j"):
        assert 400 == sent(stack, stack.user(), ODD, b"connection: " + nominated)


@where_answers_differ
def test_an_engine_cannot_speak_in_the_gateways_name(stack: Stack, own: OwnEngine):
    claims = {"target-pod": "evil", "target-pod-ip": "6.6.6.6:6", "x-forebay-decision": "evil", "x-forebay-x": "evil",
              "routing-strategy": "evil", "x-ratelimit-remaining-requests": "evil", "x-request-id": "evil",
              "x-gateway-destination-endpoint": "6.6.6.6:6"}  # fmt: skip
    own.answer = lambda _: Reply(body=usage_reply().body, headers={**claims, "x-engine": "kept"})

    answer = stack.chat(stack.user(), model="own", headers={"x-request-id": "r-2"})

    assert [] == [name for name, value in answer.headers.items() if "evil" in value or "6.6.6.6" in value]
    assert ("own-0", own.address, "r-2") == tuple(
        answer.headers[name] for name in ("target-pod", "target-pod-ip", "x-request-id")
    )
    assert "kept" == answer.headers["x-engine"]
    assert "999" == answer.headers["x-ratelimit-remaining-requests"]


@on("http2-metadata", "http2-ext_proc", "http2-full_duplex")
@pytest.mark.parametrize("status", [201, 400, 422, 500, 503])
def test_what_an_engine_answers_is_not_wrapped(stack: Stack, own: OwnEngine, status: int):
    user = stack.user()
    body = usage_reply().body if status < 400 else b'{"detail": [ "as it is" ]}'
    own.answer = lambda _: Reply(status, body)

    answer = stack.chat(user, model="own")

    assert (status, body) == (answer.status_code, answer.content)
    assert "own-0" == answer.headers["target-pod"]
    assert not [name for name in answer.headers if name.startswith("x-error-")]
    stack.uses(user, 1, 12 if status < 400 else 0)


@on("http2-metadata", "http2-ext_proc", "grpc-metadata")
def test_an_answer_of_six_megabytes_passes_and_its_usage_is_found(stack: Stack, own: OwnEngine):
    user = stack.user()
    vectors = [{"object": "embedding", "index": n, "embedding": [0.123456789] * 4096} for n in range(123)]
    usage = {"prompt_tokens": 321, "total_tokens": 321}
    body = orjson.dumps({"object": "list", "data": vectors, "model": "own", "usage": usage})
    own.answer = lambda _: Reply(body=body)

    answer = stack.post("/v1/embeddings", user, {"model": "own", "input": "x"})

    assert len(body) > 6_000_000
    assert (200, True) == (answer.status_code, body == answer.content)
    stack.uses(user, 1, 321)


def test_an_adapter_is_a_model_of_its_own(stack: Stack, own: OwnEngine):
    listed = stack.users.get("/v1/models").json()

    assert {"list"} == {listed["object"]}
    assert {stack.model, "own", "own-adapter"} == {model["id"] for model in listed["data"]}
    assert 200 == stack.chat(stack.user(), model="own-adapter").status_code
    assert "own-adapter" == orjson.loads(own.only.body)["model"]
