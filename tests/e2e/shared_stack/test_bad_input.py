"""A request that cannot be served is refused clearly, loses nothing and costs nothing (docs/contracts.md section 1)."""

import gzip
import socket
from collections.abc import Iterator

import orjson
import pytest

from tests.support.raw_http import RawAnswer, connected, exchange, read_answer, request
from tests.support.stack import Stack, on

CHAT = "/v1/chat/completions"
PROCESSING = "x-error-request-body-processing"
both_body_modes = on("http2-metadata", "http2-full_duplex")
"""The stacks for tests of how Envoy hands over a body, or of a missing one; all else is the same code everywhere."""


@pytest.fixture
def user(stack: Stack) -> Iterator[str]:
    """A user who has used nothing, before and after."""
    name = stack.user()
    yield name
    stack.uses(name, 0, 0)


def ask(stack: Stack, user: str, body: bytes, *headers: bytes, path: str = CHAT, method: str = "POST") -> RawAnswer:
    named = (b"user: " + user.encode(), *headers)
    return exchange(stack.variables["GATEWAY"], request(path, body, *named, method=method), method=method)


def assert_refused(answer: RawAnswer, status: int, code: str, header: str = "") -> str:
    """The shape of every error; returns its message."""
    assert status == answer.status, answer
    assert "application/json" == answer.headers["content-type"]
    assert {"message", "type", "code", "param"} == answer.json["error"].keys()
    assert code == answer.json["error"]["code"]
    assert {header: "true"} if header else {} == {n: v for n, v in answer.headers.items() if n.startswith("x-error-")}
    assert "target-pod" not in answer.headers
    return str(answer.json["error"]["message"])


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [1]}, "messages[0]"),
        ({"messages": [{"role": 5, "content": "x"}]}, "messages[0].role"),
        ({"stream": "yes"}, "stream"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"temperature": "hot"}, "temperature"),
        ({"stream": True, "stream_options": 3}, "stream_options"),
    ],
    ids=str,
)
def test_a_missing_or_wrong_field_is_named(stack: Stack, user: str, change: dict[str, object], param: str):
    answer = ask(stack, user, orjson.dumps(stack.body(**change)))

    assert_refused(answer, 400, "invalid_request", PROCESSING)
    assert param == answer.json["error"]["param"]


@pytest.mark.parametrize(
    "body",
    [b"{", b"nonsense", b"[]", b'"text"', b"null", b"\xff\xfe{}", b'{"model":"\xed\xa0\x80"}', b"[" * 100_000],
    ids=repr,
)
def test_a_body_that_is_no_json_object_is_refused(stack: Stack, user: str, body: bytes):
    assert_refused(ask(stack, user, body), 400, "invalid_request", PROCESSING)


def test_json_nested_without_end_is_refused_and_the_gateway_lives(stack: Stack, user: str):
    deep = b'{"model":"m","messages":' + b'[{"a":' * 50_000 + b"1" + b"}]" * 50_000 + b"}"

    assert_refused(ask(stack, user, deep), 400, "invalid_request", PROCESSING)
    assert 401 == stack.chat("nobody").status_code


@both_body_modes
def test_an_empty_body_is_refused(stack: Stack, user: str):
    for headers in ((), (b"content-length: 0",), (b"transfer-encoding: chunked",)):
        body = b"0\r\n\r\n" if b"chunked" in b"".join(headers) else b""
        answer = ask(stack, user, body, *headers)
        assert "body is empty" == assert_refused(answer, 400, "invalid_request", PROCESSING)


def test_an_unknown_model_is_told_which_ones_exist(stack: Stack, user: str):
    answer = ask(stack, user, orjson.dumps(stack.body(model="gpt-9")))

    message = assert_refused(answer, 404, "model_not_found", "x-error-no-model-backends")
    assert message.startswith("model gpt-9 does not exist")
    assert stack.model in message
    assert "1000" == answer.headers["x-ratelimit-remaining-requests"]  # a user with limits sees them on errors, too


@both_body_modes
def test_an_unknown_path_and_a_wrong_method_are_no_charge(stack: Stack, user: str):
    body = orjson.dumps(stack.body())

    assert "/v1/nope" in assert_refused(ask(stack, user, body, path="/v1/nope?x=1"), 404, "not_found")
    assert_refused(ask(stack, user, b"", path="/v2", method="GET"), 404, "not_found")
    for method in ("GET", "DELETE", "OPTIONS", "PUT"):
        answer = ask(stack, user, b"", method=method)
        assert_refused(answer, 405, "method_not_allowed")
        assert "POST" == answer.headers["allow"]


@both_body_modes
def test_head_gets_the_status_and_no_body(stack: Stack, user: str):
    answer = ask(stack, user, b"", method="HEAD")

    assert (405, b"") == (answer.status, answer.body)


def test_an_unknown_user_is_refused_by_name(stack: Stack):
    answer = ask(stack, "ghost", orjson.dumps(stack.body()))

    assert "user: ghost does not exist" == assert_refused(answer, 401, "user_not_found", "x-error-user")


@on("http2-metadata", "grpc-metadata", "http2-full_duplex")
def test_a_body_over_the_limit_is_told_the_limit(stack: Stack, user: str):
    body = orjson.dumps(stack.body(messages=[{"role": "user", "content": "x" * 20_000_000}]))

    assert "16777216" in assert_refused(ask(stack, user, body), 413, "request_too_large")


@both_body_modes
def test_a_body_over_the_limit_that_comes_in_chunks_is_refused_too(stack: Stack, user: str):
    piece = b"x" * 1_000_000
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for _ in range(20)) + b"0\r\n\r\n"

    answer = ask(stack, user, chunks, b"transfer-encoding: chunked")

    assert_refused(answer, 413, "request_too_large")


def test_headers_beyond_measure_are_refused_in_the_same_shape(stack: Stack, user: str):
    answer = ask(stack, user, orjson.dumps(stack.body()), b"x-filler: " + b"a" * 100_000)

    assert_refused(answer, 431, "request_headers_too_large")


def test_a_body_that_is_not_packed_as_it_says_or_no_json_by_its_type_is_refused(stack: Stack, user: str):
    body = orjson.dumps(stack.body())

    packed = ask(stack, user, gzip.compress(body)[:-9], b"content-encoding: gzip")
    text = ask(stack, user, body, b"content-type: text/plain")

    assert_refused(packed, 400, "invalid_request", PROCESSING)
    assert_refused(text, 400, "invalid_request", PROCESSING)


@pytest.mark.parametrize("value", [b"a\tb", "é-水".encode(), b"\xff\xfe", b'"', b"a, b"], ids=repr)
def test_odd_bytes_in_headers_get_a_whole_answer(stack: Stack, user: str, value: bytes):
    """As a user: refused by name.  Elsewhere: a whole error.  Control characters are no HTTP: see below."""
    body = orjson.dumps(stack.body(model="gone"))

    as_user = exchange(stack.variables["GATEWAY"], request(CHAT, body, b"user: " + value))
    elsewhere = [
        ask(stack, user, body, name + b": " + value)
        for name in (b"x-session-id", b"x-request-id", b"routing-strategy", b"external-filter", b"traceparent")
    ]

    for answer in (as_user, *elsewhere):
        assert answer.status in {400, 401, 404, 503}, answer
        assert answer.json["error"]["message"]
        assert "application/json" == answer.headers["content-type"]


def test_a_user_named_twice_is_never_two_users(stack: Stack, user: str):
    other = stack.user()
    body = orjson.dumps(stack.body())

    answer = ask(stack, user, body, b"user: " + other.encode())

    assert_refused(answer, 401, "user_not_found", "x-error-user")
    stack.uses(other, 0, 0)


def test_a_client_cannot_choose_where_its_request_goes(stack: Stack):
    user = stack.user()
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        address = f"127.0.0.1:{trap.getsockname()[1]}"
        for name in ("target-pod", "target-pod-ip", "x-gateway-destination-endpoint", "x-forebay-destination",
                     "x-envoy-original-dst-host", "X-Gateway-Destination-Endpoint"):  # fmt: skip
            answer = stack.chat(user, headers={name: address}, max_tokens=1)
            assert 200 == answer.status_code
            assert f"http://{answer.headers['target-pod-ip']}" in stack.engines
        for path in (CHAT, "http://" + address + CHAT):
            line = request(path, orjson.dumps(stack.body(max_tokens=1)), b"user: " + user.encode(),
                           b"x-gateway-destination-endpoint: " + address.encode(),
                           b"x-gateway-destination-endpoint: " + address.encode())  # fmt: skip
            assert 200 == exchange(stack.variables["GATEWAY"], line).status
        with pytest.raises(BlockingIOError):
            trap.accept()


@both_body_modes
def test_a_client_that_never_sends_the_rest_charges_nobody(stack: Stack, user: str):
    body = orjson.dumps(stack.body())
    with connected(stack.variables["GATEWAY"]) as connection:
        line = request(CHAT, body[:20], b"user: " + user.encode(), b"content-length: %d" % len(body))
        connection.sendall(line)


@pytest.mark.parametrize(  # where answers pass through ext_proc, Envoy closes the connection (docs/limits.md)
    "line", [b"GIBBERISH", b"GET / HTTP/1.1\r\nhost: a\r\nno header", b"GET / HTTP/1.1\r\nhost: a\r\nx: \x01"]
)
def test_what_is_no_http_is_refused_in_the_same_shape(stack: Stack, user: str, line: bytes):
    assert_refused(exchange(stack.variables["GATEWAY"], line + b"\r\n\r\n"), 400, "invalid_request")


@on("http2-metadata", "http2-ext_proc")
def test_what_envoy_refuses_before_the_gateway_sees_it_is_a_400(stack: Stack):
    line = b"POST /v1/chat/completions HTTP/1.1"  # without a host
    assert_refused(exchange(stack.variables["GATEWAY"], line + b"\r\n\r\n"), 400, "invalid_request")


@both_body_modes
def test_two_requests_on_one_connection_are_two_requests(stack: Stack):
    """A refusal leaves the connection usable: nothing of the first is taken for the second."""
    user = stack.user()
    named = b"user: " + user.encode()
    bad = request(CHAT, orjson.dumps(stack.body(model="gone")), named).replace(b"connection: close\r\n", b"")
    good = request(CHAT, orjson.dumps(stack.body(max_tokens=1)), named)
    with connected(stack.variables["GATEWAY"]) as connection:
        connection.sendall(bad)
        first = read_answer(connection)
        connection.sendall(good)
        second = read_answer(connection)

    assert (404, 200) == (first.status, second.status)
    stack.uses(user, 1, second.json["usage"]["total_tokens"])
