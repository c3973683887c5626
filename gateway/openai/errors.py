"""Every refusal a client can meet: one tree, one table, one JSON shape (contracts section 1).

Raise the narrowest type at the place that knows; the shell turns it into status, headers and body here.
"""

import math
import re
from collections.abc import Mapping

import orjson

from ratelimit.limits import LimitKind

_UNSAFE_IN_HEADER = re.compile(r"[^ -~]")


class RefusalError(Exception):
    """A request that is answered by the gateway itself.  Subclasses fix status, code and the metric label `kind`."""

    status = 500
    type = "api_error"
    code = "internal_error"
    kind = "internal"
    error_header = ""  # the `x-error-*` name that is set to true

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.headers: Mapping[str, str] = {}  # beside those of its type, e.g. the quotas that were exceeded


class CallerError(RefusalError):
    """The caller's fault: 4xx."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class BadRequestError(CallerError):
    """The body cannot be served; `param` names the field."""

    kind = "bad_request"
    error_header = "x-error-request-body-processing"


class InvalidKeyError(CallerError):
    """Bad or missing API key."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"
    kind = "invalid_key"


class UnknownUserError(CallerError):
    """The `user` header names nobody, or is missing where it is required."""

    status = 401
    type = "authentication_error"
    code = "user_not_found"
    kind = "unknown_user"
    error_header = "x-error-user"


class RateLimitError(CallerError):
    """A limit of the user is exceeded."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    kind = "rate_limit"


class OverloadedError(RateLimitError):
    """No pod can answer in time; the same request may be taken later."""

    code = "overloaded"
    kind = "overloaded"


class ClientGoneError(CallerError):
    """The client left while its request waited: nobody reads this, but it is counted."""

    status = 499
    code = "client_gone"
    kind = "client_gone"


class LimitExceededError(RateLimitError):
    """A limit is exceeded; the table of limit kinds names label and header."""

    def __init__(self, limit: LimitKind, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.kind = limit.name
        self.error_header = limit.error_header


class UnknownModelError(CallerError):
    """No endpoint has ever been known for the model."""

    status = 404
    code = "model_not_found"
    kind = "unknown_model"
    error_header = "x-error-no-model-backends"


class UnknownPathError(CallerError):
    """No such path."""

    status = 404
    code = "not_found"
    kind = "unknown_path"


class MethodNotAllowedError(CallerError):
    """The path exists, not for this method."""

    status = 405
    code = "method_not_allowed"
    kind = "method_not_allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow  # RFC 9110 section 15.5.6 wants the header `allow`


class BodyTooLargeError(CallerError):
    """The body is over the configured limit."""

    status = 413
    code = "request_too_large"
    kind = "body_too_large"


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
    """Our fault or our surroundings': 5xx."""


class NoReadyPodError(ServerError):
    """The model is known and nothing can answer it now."""

    status = 503
    code = "service_unavailable"
    kind = "no_ready_pod"
    error_header = "x-error-no-model-backends"


class LimiterAwayError(ServerError):
    """The limiter does not answer and the configuration says to refuse."""

    status = 503
    code = "limiter_unavailable"
    kind = "limiter_away"


class BrokenUserError(ServerError):
    """What is stored about the user is no user record: an administrator has to mend it."""

    code = "broken_user"
    kind = "broken_user"
    error_header = "x-error-user"


class UnsupportedModeError(ServerError):
    """The proxy asked for a body mode in which a request cannot be routed."""

    code = "unsupported_body_mode"
    kind = "unsupported_mode"


def error_status(error: RefusalError, *, compat: bool = False) -> int:
    """The HTTP status; `compat` is v0.2.1, which answered 500 to unknown users."""
    return 500 if compat and isinstance(error, UnknownUserError) else error.status


def error_body(error: RefusalError, *, compat: bool = False) -> bytes:
    """`{"error":{"message","type","code","param"}}`, or v0.2.1's `{"error":{"code":429,"message"}}`."""
    message = _well_formed(error.message)
    shape: dict[str, str | int | None]
    if compat:
        shape = {"code": error_status(error, compat=True), "message": message}
    else:
        shape = {"message": message, "type": error.type, "code": error.code, "param": error.param}
    return orjson.dumps({"error": shape})


def error_headers(error: RefusalError) -> list[tuple[str, str]]:
    """What goes with the body: its type, `x-error-*: true`, and when to come back."""
    headers = [("content-type", "application/json")]
    if error.error_header:
        headers.append((error.error_header, "true"))
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after_s)))))
    if isinstance(error, MethodNotAllowedError):
        headers.append(("allow", error.allow))
    return headers


def header_safe(text: str) -> str:
    """Printable ASCII without outer blanks; `?` for anything else.

    A control character in one header makes Envoy drop all the headers of an immediate response.
    """
    return _UNSAFE_IN_HEADER.sub("?", text).strip(" ")


def _well_formed(text: str) -> str:
    """The text without lone surrogates, which bytes that are not UTF-8 become and JSON cannot hold."""
    return text.encode("utf-8", "replace").decode()
