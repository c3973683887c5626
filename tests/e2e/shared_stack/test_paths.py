"""Every path of the table through a real Envoy, in every mode: which engine gets what, and what is charged."""

import gzip
import zlib
from collections.abc import Iterator

import orjson
import pytest
from backports import zstd

from gateway.openai.operations import Operation
from tests.support.own_engine import OwnEngine, Received, Reply, own_engine
from tests.support.stack import DEFAULT, Stack, on, on_all

MESSAGES = [{"role": "user", "content": "Say this is a test!"}]
FORM = b'--b\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n'
BODIES = {
    "messages": {"messages": MESSAGES}, "prompt": {"prompt": "hi"}, "input": {"input": "hi"}, "text": {"text": "hi"},
    "rerank": {"query": "hi", "documents": ["a"]}, "score": {"text_1": "hi", "text_2": "a"}, "texts": {"texts": ["hi"]},
    "tokens": {"token_ids": [1, 2]}, "batch": {"messages": [MESSAGES]}, "items": {"query": "hi", "items": ["a"]},
}  # fmt: skip
KINDS = {
    "/v1/completions": "prompt", "/v1/responses": "input", "/v1/embeddings": "input", "/v1/classify": "input",
    "/v1/rerank": "rerank", "/v2/rerank": "rerank", "/rerank": "rerank", "/v1/score": "score", "/score": "score",
    "/generative_scoring": "items", "/v2/embed": "texts", "/pooling": "input", "/classify": "text", "/encode": "text",
    "/generate": "text", "/inference/v1/generate": "tokens", "/v1/images/generations": "prompt",
    "/v1/audio/speech": "input", "/v1/chat/completions/batch": "batch",
}  # fmt: skip
PASSED_ON = [operation for operation in Operation if operation.body is not None]


def request_for(operation: Operation, model: str) -> tuple[str, bytes, dict[str, str]]:
    """Path, body and content type of a request."""
    assert operation.body is not None
    path = operation.path.replace("{id}", "resp_1")
    if operation.body.is_stored:
        return path, b"", {"model": model}
    if operation.body.is_form:
        parts = {b"model": model.encode(), b"file": b"RIFF", b"image": b"PNG", b"prompt": b"hi"}
        body = b"".join(FORM % part for part in parts.items()) + b"--b--\r\n"
        return path, body, {"content-type": "multipart/form-data; boundary=b"}
    fields = BODIES[KINDS.get(path, "messages")]
    return path, orjson.dumps({"model": model, **fields}), {"content-type": "application/json"}


@on_all
def test_every_path_reaches_the_engine_as_it_was_sent_and_is_charged_as_fits(stack: Stack, own: OwnEngine):
    for operation in PASSED_ON:
        assert operation.body is not None
        user = stack.user()
        own.reset()
        path, body, headers = request_for(operation, "own")

        answer = stack.users.request(operation.method, path + "?q=1", content=body, headers={"user": user, **headers})

        assert 200 == answer.status_code, (operation, answer.text)
        assert (operation.method, path + "?q=1", body) == (own.only.method, own.only.path, own.only.body), operation
        stack.uses(user, 1, 0 if operation.body.is_free else 12)


@on_all
def test_what_is_free_is_so_also_if_an_answer_shows_a_usage_and_counts_as_a_request(stack: Stack, own: OwnEngine):
    user = stack.user(rpm=1, tpm=5)
    headers = {"user": user, "model": "own"}

    assert 200 == stack.users.get("/v1/responses/resp_1", headers=headers).status_code
    stack.uses(user, 1, 0)
    assert 429 == stack.users.get("/v1/responses/resp_1", headers=headers).status_code


@pytest.fixture
def two(stack: Stack) -> Iterator[tuple[OwnEngine, OwnEngine]]:
    """Two engines of the model `two`, of which the second keeps responses."""
    with own_engine() as first, own_engine() as second:
        stack.serve("two", first.address, second.address)
        first.reset()
        second.reset()
        yield first, second
        stack.stop_serving("two")


def not_found(_: Received) -> Reply:
    return Reply(404, b'{"error":{"message":"no such response"}}')


@on_all
def test_a_stored_response_is_found_on_whichever_pod_made_it(stack: Stack, two: tuple[OwnEngine, OwnEngine]):
    first, second = two
    user = stack.user()
    create = {"model": "two", "input": "go on", "previous_response_id": "resp_1"}
    for has_it, has_not in ((first, second), (second, first)):
        has_not.answer = not_found
        has_it.answer = lambda _: Reply(body=b'{"id":"resp_1"}')
        for _ in range(4):
            for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")):
                answer = stack.users.request(
                    method, f"/v1/responses/resp_1{path}", headers={"user": user, "model": "two"}
                )
                assert (200, {"id": "resp_1"}) == (answer.status_code, answer.json())
            assert 200 == stack.post("/v1/responses", user, create).status_code
    assert not [name for received in first.received for name in received.headers if name.startswith("x-envoy-r")]

    first.answer = second.answer = not_found
    missing = stack.users.get("/v1/responses/resp_2", headers={"user": user, "model": "two"})
    assert (404, "no such response") == (missing.status_code, missing.json()["error"]["message"])
    assert 404 == stack.post("/v1/chat/completions", user, stack.body(model="two")).status_code
    assert 1 == len([r for engine in two for r in engine.received if r.path == "/v1/chat/completions"])


CODINGS = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress}


@on_all
def test_a_compressed_body_reaches_the_engine_decoded(stack: Stack, own: OwnEngine):
    body = orjson.dumps({"model": "own", "messages": MESSAGES, "x": 2**64 - 1, "pad": "a" * 200_000})
    twice = ("gzip, zstd", zstd.compress(gzip.compress(body)))
    for coding, packed in [*((name, encode(body)) for name, encode in CODINGS.items()), twice]:
        user = stack.user()
        own.reset()
        headers = {"user": user, "content-type": "application/json", "content-encoding": coding}

        answer = stack.users.post("/v1/chat/completions", content=packed, headers=headers)

        assert 200 == answer.status_code, answer.text
        assert body == own.only.body
        assert "content-encoding" not in own.only.headers
        stack.uses(user, 1, 12)


@on_all
def test_what_cannot_be_decoded_is_refused_and_charges_nothing(stack: Stack, own: OwnEngine):
    user = stack.user()
    bomb = gzip.compress(b" " * (17 << 20))
    for coding, packed, status in (("br", b"x", 415), ("gzip", b"{}", 400), ("gzip", bomb, 413)):
        headers = {"user": user, "content-type": "application/json", "content-encoding": coding}
        answer = stack.users.post("/v1/chat/completions", content=packed, headers=headers)
        assert status == answer.status_code
        assert (status == 415) == (answer.headers.get("accept-encoding") == "gzip, deflate, zstd")
    assert not own.received
    stack.uses(user, 0, 0)


@on_all
def test_the_gateway_answers_health_and_models_itself(stack: Stack):
    for method, path in (
        ("GET", "/health"),
        ("GET", "/ping"),
        ("POST", "/ping"),
        ("GET", "/version"),
        ("HEAD", "/health"),
    ):
        assert 200 == stack.users.request(method, path).status_code
    [listed] = [card for card in stack.users.get("/v1/models").json()["data"] if card["id"] == stack.model]
    assert listed["created"] > 1_700_000_000
    assert listed["max_model_len"] > 0
    assert listed == stack.users.get(f"/v1/models/{stack.model.replace('/', '%2F')}").json()
    assert listed == stack.users.get(f"/v1/models/{stack.model}/").json()
    missing = stack.users.get("/v1/models/org%2Fnone")
    assert (404, "model_not_found") == (missing.status_code, missing.json()["error"]["code"])


@on_all
def test_a_target_with_a_trailing_or_a_double_slash_is_served(stack: Stack, own: OwnEngine):
    for path in ("/v1/chat/completions/", "/v1//chat/completions", "/v1/chat%2Fcompletions"):
        own.reset()
        assert 200 == stack.post(path, stack.user(), stack.body(model="own")).status_code
        assert "/v1/chat/completions" == own.only.path


@on(DEFAULT, "http2-full_duplex")
def test_an_engines_controls_are_out_of_reach(stack: Stack, own: OwnEngine):
    for path in (
        "/metrics",
        "/sleep",
        "/v1/load_lora_adapter",
        "/flush_cache",
        "/v1/responses/..%2f..%2fsleep",
        "/load",
    ):
        for method in ("GET", "POST"):
            answer = stack.users.request(method, path, headers={"user": stack.user(), "model": "own"}, content=b"")
            assert (404, "not_found") == (answer.status_code, answer.json()["error"]["code"])
    assert not own.received


@on("keys-metadata", "keys-full_duplex")
def test_anthropics_clients_are_served_and_understood(stack: Stack):
    user = stack.user()
    secret = stack.admin("/CreateKey", user=user, name="k").json()["secret"]
    wrong = stack.users.post("/v1/messages", json={}, headers={"x-api-key": "wrong", "x-request-id": "r-1"})
    error = {"type": "authentication_error", "message": wrong.json()["error"]["message"]}
    assert (401, {"type": "error", "error": error, "request_id": "r-1"}) == (wrong.status_code, wrong.json())
    bad = stack.users.post("/v1/messages", json={"model": stack.model}, headers={"x-api-key": secret})
    assert (400, "invalid_request_error") == (bad.status_code, bad.json()["error"]["type"])
    assert 200 == stack.users.get("/v1/models", headers={"x-api-key": secret}).status_code
    assert 401 == stack.users.get("/v1/models", headers={"x-api-key": "wrong"}).status_code


@on("keys-metadata", "keys-full_duplex")
def test_an_engine_sees_no_key_in_whatever_header(stack: Stack, own: OwnEngine):
    secret = stack.admin("/CreateKey", user=stack.user(), name="k").json()["secret"]
    for headers in (
        {"x-api-key": secret},
        {"api-key": secret},
        {"x-api-key": secret, "authorization": f"Bearer {secret}"},
    ):
        own.reset()
        assert (
            200 == stack.users.post("/v1/chat/completions", json=stack.body(model="own"), headers=headers).status_code
        )
        assert secret not in str(own.only.headers)
