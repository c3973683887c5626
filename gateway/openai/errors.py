"""Every error that the gateway answers a client with: one class tree, one JSON shape (docs/contracts.md section 1).

Raise the narrowest class where the error is found; the exchange asks this module for status, headers and body.
"""

import math
import re
from collections.abc import Mapping
from typing import Final

import orjson

from ratelimit.kinds import LimitKind

LONGEST_RETRY_S = 60
"""The longest `retry-after` that common clients honour; told to wait longer, they ask again at once."""

_UNSAFE_IN_HEADER = re.compile(r"[^ -~]")

_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Types of errors by status (Anthropic API, errors)."""
FIRST_ERROR: Final = 400
FIRST_SERVER_ERROR: Final = 500
"""HTTP statuses from which an answer is an error, and an error of the server (RFC 9110, section 15)."""


class RefusalError(Exception):
    """A request that the gateway refuses.  Subclasses set status, code and the metric label `kind`."""

    status = 500
    type = "api_error"
    code = "internal_error"
    kind = "internal"
    error_header = ""  # the `x-error-*` header that is set to true
    longest_retry_s: float = LONGEST_RETRY_S
    is_final = False  # no time cures it, although clients may take its status for one that passes

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.headers: Mapping[str, str] = {}  # in addition to its class's, such as the quotas that were exceeded


class CallerError(RefusalError):
    """The caller's fault: 4xx."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class BadRequestError(CallerError):
    """The body cannot be served; `param` names the field."""

    kind = "bad_request"
    error_header = "x-error-request-body-processing"


class HeadersTooLargeError(CallerError):
    """The request has too many headers, or too long ones."""

    status = 431
    code = "request_headers_too_large"
    kind = "headers_too_large"


class InvalidKeyError(CallerError):
    """The API key is unknown or missing."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"
    kind = "invalid_key"


class UnknownUserError(CallerError):
    """The `user` header names no known user, or is missing where it is required."""

    status = 401
    type = "authentication_error"
    code = "user_not_found"
    kind = "unknown_user"
    error_header = "x-error-user"
    is_final = True  # with `compat` its status is 500


class RateLimitError(CallerError):
    """A limit of the user is exceeded."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    kind = "rate_limit"


class OverloadedError(RateLimitError):
    """No pod can answer within the model's SLO; the same request may be admitted later."""

    code = "overloaded"
    kind = "overloaded"


class ClientGoneError(CallerError):
    """The client left while its request waited: no one reads this answer, but it is counted."""

    status = 499
    code = "client_gone"
    kind = "client_gone"


class LimitExceededError(RateLimitError):
    """A limit is exceeded; the table of limit kinds names label and header."""

    def __init__(self, limit: LimitKind, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.kind = limit.name
        self.error_header = limit.error_header
        self.is_final = retry_after_s is None


class BudgetExceededError(LimitExceededError):
    """A budget of a day or a month is used up.  Type and code are those of OpenAI's API, whose clients give up then."""

    type = "insufficient_quota"
    code = "insufficient_quota"

    def __init__(self, limit: LimitKind, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(limit, message, retry_after_s=retry_after_s)
        self.is_final = True
        self.longest_retry_s = math.inf


class UnknownModelError(CallerError):
    """No endpoint has ever been known for the model."""

    status = 404
    code = "model_not_found"
    kind = "unknown_model"
    error_header = "x-error-no-model-backends"


class ModelNotAllowedError(CallerError):
    """The API key is limited to other models.  Status and code are those of OpenAI's API."""

    status = 403
    code = "model_not_found"
    kind = "model_not_allowed"


class UnknownPathError(CallerError):
    """There is no operation at this path."""

    status = 404
    code = "not_found"
    kind = "unknown_path"


class MethodNotAllowedError(CallerError):
    """The path exists, but not for this method."""

    status = 405
    code = "method_not_allowed"
    kind = "method_not_allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow  # the header `allow`, which RFC 9110 section 15.5.6 requires


class BodyTooLargeError(CallerError):
    """The body is larger than `body_limit_bytes`."""

    status = 413
    code = "request_too_large"
    kind = "body_too_large"


class UnsupportedCodingError(CallerError):
    """The body has a content coding that the gateway does not decode."""

    status = 415
    code = "unsupported_content_encoding"
    kind = "unsupported_coding"

    def __init__(self, message: str, *, accepted: str) -> None:
        super().__init__(message)
        self.accepted = accepted  # the header `accept-encoding` (RFC 7694 section 3)


class InvalidStrategyError(CallerError):
    """The `routing-strategy` header names no strategy."""

    code = "invalid_routing_strategy"
    kind = "invalid_strategy"
    error_header = "x-error-invalid-routing-strategy"


class InvalidFilterError(CallerError):
    """The `external-filter` header is not a label selector."""

    code = "invalid_filter"
    kind = "invalid_filter"
    error_header = "x-error-no-model-backends"


class ServerError(RefusalError):
    """The gateway's fault, or that of what it depends on: 5xx."""


class NoReadyPodError(ServerError):
    """The model is known, but no pod can answer for it now."""

    status = 503
    code = "service_unavailable"
    kind = "no_ready_pod"
    error_header = "x-error-no-model-backends"


class AnswerOfNoApiError(ServerError):
    """Something else answers in place of a pool's API."""

    status = 502
    code = "bad_gateway"
    kind = "answer_of_no_api"


class LimiterAwayError(ServerError):
    """The limiter does not answer, and the settings say to refuse then."""

    status = 503
    code = "limiter_unavailable"
    kind = "limiter_away"


class BrokenUserError(ServerError):
    """The user's stored record cannot be read: an administrator has to repair it."""

    code = "broken_user"
    kind = "broken_user"
    error_header = "x-error-user"
    is_final = True


class UnsupportedModeError(ServerError):
    """The proxy asked for a body mode in which a request cannot be routed."""

    code = "unsupported_body_mode"
    kind = "unsupported_mode"
    is_final = True


def error_status(error: RefusalError, *, compat: bool = False) -> int:
    """Return the HTTP status; with `compat` (v0.2.1) an unknown user is 500."""
    return 500 if compat and isinstance(error, UnknownUserError) else error.status


def error_body(error: RefusalError, *, compat: bool = False) -> bytes:
    """Return `{"error":{"message","type","code","param"}}`, or with `compat` `{"error":{"code":429,"message"}}`."""
    message = _well_formed(error.message)
    shape: dict[str, str | int | None]
    if compat:
        shape = {"code": error_status(error, compat=True), "message": message}
    else:
        shape = {"message": message, "type": error.type, "code": error.code, "param": error.param}
    return orjson.dumps({"error": shape})


def anthropic_error_body(error: RefusalError, status: int, request_id: str) -> bytes:
    """Return `{"type":"error","error":{"type","message"},"request_id"}`."""
    return orjson.dumps(anthropic_error(status, _well_formed(error.message), request_id or None))


def anthropic_error(status: int, message: str, request_id: str | None) -> dict[str, object]:
    """Return an error in Anthropic's shape, whose type follows from the status."""
    default = "api_error" if status >= FIRST_SERVER_ERROR else "invalid_request_error"
    kind = _ANTHROPIC_TYPES.get(status, default)
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def error_headers(error: RefusalError) -> list[tuple[str, str]]:
    """Return the headers that belong to the error: content type, `x-error-*`, when to ask again, `allow` and such."""
    headers = [("content-type", "application/json")]
    if error.error_header:
        headers.append((error.error_header, "true"))
    if error.retry_after_s is not None:
        headers += retry_headers(error.retry_after_s, error.longest_retry_s)
    if error.is_final:
        headers.append(("x-should-retry", "false"))
    if isinstance(error, MethodNotAllowedError):
        headers.append(("allow", error.allow))
    if isinstance(error, UnsupportedCodingError):
        headers.append(("accept-encoding", error.accepted))
    return headers


def retry_headers(seconds: float, longest_s: float = LONGEST_RETRY_S) -> list[tuple[str, str]]:
    """Return `retry-after`, in whole seconds, and `retry-after-ms`: rounded up, so that no client asks too early."""
    milliseconds = math.ceil(max(0.0, min(seconds, longest_s)) * 1000)
    return [
        ("retry-after", str(max(1, math.ceil(milliseconds / 1000)))),
        ("retry-after-ms", str(max(1, milliseconds))),
    ]


def header_safe(text: str) -> str:
    """Replace all but printable ASCII by `?`, and strip outer spaces.

    A control character in one header makes Envoy drop all headers of an immediate response.
    """
    return _UNSAFE_IN_HEADER.sub("?", text).strip(" ")


def _well_formed(text: str) -> str:
    """Replace lone surrogates, which JSON cannot hold and which bytes that are not UTF-8 are decoded to."""
    return text.encode("utf-8", "replace").decode()
