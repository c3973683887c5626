import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai import errors
from gateway.openai.errors import (
    BadRequestError,
    BrokenUserError,
    BudgetExceededError,
    LimitExceededError,
    MethodNotAllowedError,
    NoReadyPodError,
    RefusalError,
    UnknownUserError,
    UnsupportedModeError,
    error_body,
    error_headers,
    error_status,
    header_safe,
)
from ratelimit.kinds import RPM, USER_BUDGETS

EVERY_ERROR = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RefusalError)),
    key=lambda kind: kind.__name__,
)


def test_a_body_has_message_type_code_and_param():
    body = error_body(BadRequestError("messages = missing, must be a non-empty list", param="messages"))

    assert {
        "error": {
            "message": "messages = missing, must be a non-empty list",
            "type": "invalid_request_error",
            "code": "invalid_request",
            "param": "messages",
        }
    } == orjson.loads(body)


def test_the_old_body_has_status_and_message():
    body = error_body(LimitExceededError(RPM, "user: lgy has exceeded RPM: 3"), compat=True)

    assert b'{"error":{"code":429,"message":"user: lgy has exceeded RPM: 3"}}' == body


def test_an_unknown_user_was_a_500_in_the_old_release():
    error = UnknownUserError("user: lgy does not exist")

    assert 401 == error_status(error)
    assert 500 == error_status(error, compat=True)
    assert 500 == orjson.loads(error_body(error, compat=True))["error"]["code"]
    assert 429 == error_status(LimitExceededError(RPM, ""), compat=True)


@pytest.mark.parametrize("compat", [False, True])
def test_a_message_made_of_bytes_that_are_not_utf8_is_still_json(compat):
    path = b"/v1/\xff".decode("utf-8", "surrogateescape")

    assert "/v1/?" == orjson.loads(error_body(BadRequestError(path), compat=compat))["error"]["message"]


def test_headers_name_the_limit_and_when_to_come_back():
    assert [
        ("content-type", "application/json"),
        ("x-error-rpm-exceeded", "true"),
        ("retry-after", "8"),
        ("retry-after-ms", "7010"),
    ] == error_headers(LimitExceededError(RPM, "", retry_after_s=7.01))


@pytest.mark.parametrize(
    ("retry_after_s", "seconds", "milliseconds"),
    [
        (0, "1", "1"),
        (-3.0, "1", "1"),
        (0.2, "1", "200"),
        (1, "1", "1000"),
        (1.0001, "2", "1001"),
        (59.5, "60", "59500"),
        (60.0, "60", "60000"),
        (90.0, "60", "60000"),  # common clients ignore more than 60 and ask again at once
    ],
)
def test_retry_after_is_whole_seconds_from_one_to_sixty_with_the_exact_milliseconds(
    retry_after_s, seconds, milliseconds
):
    headers = error_headers(NoReadyPodError("", retry_after_s=retry_after_s))

    assert [("retry-after", seconds), ("retry-after-ms", milliseconds)] == headers[-2:]


FINAL = [LimitExceededError(RPM, ""), BrokenUserError(""), UnsupportedModeError(""), UnknownUserError("")]
PASSING = [LimitExceededError(RPM, "", retry_after_s=1.0), NoReadyPodError(""), errors.OverloadedError("")]


@pytest.mark.parametrize("error", FINAL + PASSING, ids=lambda error: type(error).__name__)
def test_what_time_does_not_cure_says_that_asking_again_is_in_vain(error):
    headers = dict(error_headers(error))

    assert ("false" if error in FINAL else None) == headers.get("x-should-retry")
    assert not (error in FINAL and "retry-after" in headers)


def test_a_wrong_method_names_the_right_one():
    assert ("allow", "POST") in error_headers(MethodNotAllowedError("", allow="POST"))


@pytest.mark.parametrize("kind", EVERY_ERROR)
def test_every_error_has_a_status_and_labels_of_its_own_branch(kind):
    assert 400 <= kind.status < 600
    assert issubclass(kind, errors.CallerError) == (kind.status < 500)
    assert kind.kind.isidentifier()
    assert header_safe(kind.error_header) == kind.error_header


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("least-request, 2 tied", "least-request, 2 tied"),
        ("a\r\nset-cookie: b", "a??set-cookie: b"),
        (" \x00é中 ", "???"),
        ("", ""),
    ],
)
def test_header_safe_replaces_what_a_header_cannot_hold(text, safe):
    assert safe == header_safe(text)


@given(st.text(st.characters()))
def test_header_safe_gives_printable_ascii_for_any_text(text):
    safe = header_safe(text)

    assert safe.isascii()
    assert safe.isprintable()
    assert safe == safe.strip()
    assert safe == header_safe(safe)


@given(st.floats(min_value=1e-9, max_value=60))
def test_retry_after_is_never_too_early(retry_after_s):
    headers = dict(error_headers(LimitExceededError(RPM, "", retry_after_s=retry_after_s)))
    seconds, milliseconds = int(headers["retry-after"]), int(headers["retry-after-ms"])

    assert retry_after_s <= milliseconds / 1000 <= seconds <= 60
    assert milliseconds < retry_after_s * 1000 + 1.001 and seconds < retry_after_s + 1.001


def test_a_budget_that_is_used_up_tells_the_true_time_and_that_no_client_should_try_before():
    error = BudgetExceededError(USER_BUDGETS[0], "user: u has exceeded DAY BUDGET: 5", retry_after_s=3600.2)

    headers = dict(error_headers(error))

    assert (429, "insufficient_quota", "budget_day") == (error.status, error.code, error.kind)
    assert ("true", "false") == (headers["x-error-budget-exceeded"], headers["x-should-retry"])
    assert ("3601", "3600200") == (headers["retry-after"], headers["retry-after-ms"])
    assert b'"type":"insufficient_quota"' in error_body(error)
