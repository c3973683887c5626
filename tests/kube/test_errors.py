"""The error that an answer is."""

import msgspec
import pytest

from kube.errors import AlreadyExists, ApiError, Conflict, Expired, Forbidden, NotFound, from_answer


def a_status(code: int, reason: str = "", *causes: dict[str, str], retry_s: int = 0) -> bytes:
    details = {"causes": list(causes), "retryAfterSeconds": retry_s}
    return msgspec.json.encode({"kind": "Status", "code": code, "reason": reason, "message": "no", "details": details})


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (401, "Unauthorized", Forbidden),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Expired", Expired),
        (410, "Gone", Expired),
        (500, "InternalError", ApiError),
    ],
)
def test_each_thing_to_do_has_its_class(code: int, reason: str, kind: type[ApiError]):
    error = from_answer(code, a_status(code, reason))

    assert kind is type(error)
    assert (code, reason, "no") == (error.status, error.reason, str(error))


def test_an_error_event_has_its_status_in_the_object():
    assert Expired is type(from_answer(0, a_status(410, "Expired")))


def test_a_version_from_the_future_has_to_be_listed_too():
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}

    assert Expired is type(from_answer(504, a_status(504, "Timeout", cause)))


def test_owners_are_named_by_field():
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "kubectl"', "field": ".spec.replicas"}
    error = from_answer(409, a_status(409, "Conflict", cause))

    assert isinstance(error, Conflict)
    assert {".spec.replicas": 'conflict with "kubectl"'} == error.owned_by_others


def test_the_wait_is_in_the_status_or_in_the_header():
    waits = [from_answer(429, a_status(429, retry_s=3), "1"), from_answer(429, a_status(429), "2")]

    assert [3, 2] == [error.retry_after_s for error in waits]


def test_a_wait_of_a_day_is_not_believed():
    waits = [from_answer(429, a_status(429, retry_s=86_400)), from_answer(503, b"", "86400")]

    assert [60, 60] == [error.retry_after_s for error in waits]


@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b"\xff\xfe", b"[]", b'{"message": 7}'])
def test_an_answer_of_somebody_else_is_an_error_too(body: bytes):
    error = from_answer(502, body, "Fri, 31 Dec 1999 23:59:59 GMT")

    assert (502, 0.0) == (error.status, error.retry_after_s)
    assert str(error)
