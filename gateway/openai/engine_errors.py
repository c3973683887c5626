"""Errors that an engine reports inside an answer with status 200: finding them, and whose fault they are.

Lives here: the shapes of vLLM, SGLang, OpenAI and Anthropic, and their codes.  Not here: errors that the gateway
answers itself (errors), what an error means for charge and pod (accounting.outcomes).
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any


class EngineError(Enum):
    """The party at fault, as far as the error says."""

    CALLER = "caller"  # the request cannot be served, wherever it is sent
    ENGINE = "engine"
    UNSAID = "unsaid"  # no code, or one that blames nobody, as that of an engine that is busy


_CALLER_NAMES = re.compile(
    r"invalid|bad_?request|validation|unprocessable|unsupported|not_?found|context_length|too_(large|long|small)"
    r"|above_max|below_min|authentication|permission|rate_?limit|quota|content_(policy|filter)|moderation|value_?error"
)
"""Parts of codes and types that blame the request: `context_length_exceeded`, `BadRequestError`, `rate_limit_error`."""
_ENGINE_NAMES = re.compile(r"internal|server_?error|engine|cuda|out_?of_?memory")
"""Parts of codes and types that blame the engine: `server_error`, `InternalServerError`, `EngineDeadError`."""

_CALLER_STATUSES = range(400, 500)
_ENGINE_STATUSES = range(500, 600)
_SUCCESSES = frozenset({0, *range(200, 300)})
"""Numbers that some servers put as `code` into each event of a stream that goes well."""
NOT_IMPLEMENTED = 501
"""HTTP status of an engine that cannot do what the request asks for, and is whole (RFC 9110, section 15.6.2)."""


def error_in_answer(answer: Mapping[str, Any]) -> EngineError | None:
    """Return the error that a JSON answer reports; None = it reports none.

    It is a member `error`, an object or a text; `status: failed` (Responses); or `object: error` (older vLLM).
    """
    if error := answer.get("error"):
        return _fault(error)
    if answer.get("object") == "error":
        return _fault(answer)
    return EngineError.UNSAID if answer.get("status") == "failed" else None


def error_in_event(event: Mapping[str, Any]) -> EngineError | None:
    """Return the error that an event of a stream reports; None = it reports none.

    It is one as in an answer, also in a Responses event's `response`; `type: error`; or the error's own members at the
    top, where other events have no text `message`, no `detail`, and no number as `code`, or one that means success.
    """
    for holder in (event, event.get("response")):
        error = error_in_answer(holder) if isinstance(holder, Mapping) else None
        if error is not None:
            return error
    code, message = event.get("code"), event.get("message")
    has_number = isinstance(code, int | float) and not isinstance(code, bool)
    succeeded = has_number and code in _SUCCESSES
    is_bare = event.get("type") == "error" or (
        not succeeded
        and (has_number or (isinstance(message, str) and message != "") or event.get("detail") is not None)
    )
    return _fault(event) if is_bare else None


def _fault(error: object) -> EngineError:
    if not isinstance(error, Mapping):
        return EngineError.UNSAID
    for name in (error.get("code"), error.get("type")):
        fault = _fault_of_name(name)
        if fault is not EngineError.UNSAID:
            return fault
    return EngineError.UNSAID


def _fault_of_name(name: object) -> EngineError:
    """Return the fault that a code or type names: a status, also as text or as a double, or a word."""
    text = str(name).lower() if isinstance(name, str | int | float) else ""
    status = text.removesuffix(".0")
    if len(status) == len("500") and status.isdecimal():
        return _fault_of_status(int(status))
    if _CALLER_NAMES.search(text):
        return EngineError.CALLER
    return EngineError.ENGINE if _ENGINE_NAMES.search(text) else EngineError.UNSAID


def _fault_of_status(status: int) -> EngineError:
    if status in _CALLER_STATUSES:
        return EngineError.CALLER
    return EngineError.ENGINE if status in _ENGINE_STATUSES and status != NOT_IMPLEMENTED else EngineError.UNSAID
