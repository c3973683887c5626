"""A sender without permission is refused as soon as the headers arrive; the body is neither read nor parsed."""

import pytest

from tests.support.raw_http import RawAnswer, connected, read_answer, request
from tests.support.stack import COMBINATIONS, Stack, on

PATHS = ("/v1/chat/completions", "/v1/audio/transcriptions")


def ask_without_the_body(
    stack: Stack, path: str, *headers: bytes, framing: bytes = b"content-length: 9999"
) -> RawAnswer:
    """The answer to a request of which only the headers were sent."""
    with connected(stack.variables["GATEWAY"]) as connection:
        connection.sendall(request(path, b"", *headers, framing))
        return read_answer(connection)


@on("keys-metadata", "keys-full_duplex")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("framing", [b"content-length: 9999", b"transfer-encoding: chunked"])
@pytest.mark.parametrize("key", [b"Bearer wrong", b"Bearer fb-" + b"x" * 40, b"Basic eDp5"])
def test_a_wrong_key_is_refused_without_the_body(stack: Stack, path: str, framing: bytes, key: bytes):
    answer = ask_without_the_body(stack, path, b"authorization: " + key, framing=framing)

    assert (401, "invalid_api_key") == (answer.status, answer.json["error"]["code"])


@on(*COMBINATIONS)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("user", [b"nobody-of-that-name", b"x" * 300], ids=len)
def test_an_unknown_user_is_refused_without_the_body(stack: Stack, path: str, user: bytes):
    answer = ask_without_the_body(stack, path, b"user: " + user)

    assert (401, "user_not_found", "true") == (
        answer.status, answer.json["error"]["code"], answer.headers["x-error-user"]
    )  # fmt: skip


@on(*COMBINATIONS)
def test_what_else_the_headers_tell_is_refused_without_the_body(stack: Stack):
    too_large = ask_without_the_body(stack, PATHS[0], framing=b"content-length: 99999999")
    statuses = [ask_without_the_body(stack, path).status for path in ("/v1/nothing", "/v1/models")]

    assert [413, 404, 405] == [too_large.status, *statuses]
