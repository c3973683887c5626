"""The engine's error responses, in vLLM's shapes (recorded from vLLM 0.32.0).

Lives here: status, message, type and param of each error.  Not here: which requests get one (requests, serving).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson


class ApiError(Exception):
    """An error response.  Subclasses set status and type."""

    status = 400
    type = "BadRequestError"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body, `{"error": {...}}`."""
        return {
            "error": {"message": self.message, "type": self.type, "param": self.param, "code": self.status},
        }


class ParameterError(ApiError):
    """A parameter has the right type and a value that cannot be served."""

    def __init__(self, message: str, param: str, value: object = None) -> None:
        shown = f", value={value}" if value is not None else ""
        super().__init__(f"{message} (parameter={param}{shown})", param)


class ValidationFailedError(ApiError):
    """The body does not match the schema; `problems` are those that pydantic lists."""

    type = "Bad Request"

    def __init__(self, problems: Sequence[Mapping[str, Any]]) -> None:
        lines = "".join(f"\n  {_problem_text(problem)}" for problem in problems)
        plural = "s" if len(problems) > 1 else ""
        super().__init__(f"{len(problems)} validation error{plural}:{lines}", _place(problems[0]))


class NotSupportedError(ApiError):
    """The simulated engine does not do what real ones may; its message says so."""

    status = 501
    type = "NotImplementedError"

    def __init__(self, what: str, param: str | None = None) -> None:
        super().__init__(f"The simulated engine does not support {what}.", param)


class MediaTypeError(ApiError):
    """The content type is not JSON."""

    type = "Bad Request"

    def __init__(self) -> None:
        super().__init__("1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed")


class UnknownModelError(ApiError):
    """The name is neither that of the model nor of one of its adapters."""

    status = 404
    type = "NotFoundError"

    def __init__(self, model: str, served: str) -> None:
        super().__init__(f"The model `{model}` does not exist. Valid aliases: {served}.", "model")


class UnknownResponseError(ApiError):
    """A stored response is asked for; there never is one."""

    status = 404
    type = "NotFoundError"

    def __init__(self) -> None:
        super().__init__("The simulated engine stores no responses.", "response_id")


class AdapterExistsError(ApiError):
    """An adapter cannot be loaded, because one of that name is."""

    type = "InvalidUserInput"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, "
            "set 'load_inplace' to True."
        )


class AdapterTooLargeError(ApiError):
    """An adapter cannot be loaded, because its rank is over the engine's maximum; vLLM 0.32 answers 500."""

    status = 500
    type = "InternalServerError"

    def __init__(self, rank: int, most: int) -> None:
        super().__init__(f"LoRA rank {rank} is greater than max_lora_rank {most}.")


class AdapterNotFoundError(ApiError):
    """An adapter cannot be unloaded, because it is not loaded."""

    status = 404
    type = "NotFoundError"

    def __init__(self, name: str) -> None:
        super().__init__(f"The lora adapter '{name}' cannot be found.")


class DeadEngineError(ApiError):
    """The engine died before the request ended."""

    status = 500
    type = "InternalServerError"

    def __init__(self) -> None:
        super().__init__("EngineCore encountered an issue. See stack trace (above) for the root cause.")


class BusyError(ApiError):
    """The queue is full.  The response has no retry-after, as recorded."""

    status = 503
    type = "Service Unavailable"

    def __init__(self) -> None:
        super().__init__(
            "The engine is currently busy and cannot accept new requests. "
            "Please try again later or on a different instance."
        )


def parse_json(body: bytes) -> object:
    """Return the JSON value of `body`.  Raises ValidationFailedError with a syntax error's position, as vLLM does."""
    if not body:
        raise ValidationFailedError([{"type": "missing", "loc": (), "msg": "Field required", "input": None}])
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse_leniently(body)


def _parse_leniently(body: bytes) -> object:
    """Parse with the standard library as vLLM does: it accepts NaN, and its error messages are the recorded ones."""
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        problem = {
            "type": "json_invalid", "loc": (error.pos,), "msg": "JSON decode error", "input": {},
            "ctx": {"error": error.msg},
        }  # fmt: skip
        raise ValidationFailedError([problem]) from error
    except UnicodeDecodeError as error:
        raise ApiError("There was an error parsing the body") from error


def _place(problem: Mapping[str, Any]) -> str:
    return ".".join(("body", *map(str, problem["loc"])))


def _problem_text(problem: Mapping[str, Any]) -> str:
    shown = {
        "type": problem["type"],
        "loc": _place(problem),
        "msg": problem["msg"],
        "input": _shown_input(problem["input"]),
    }
    context = {key: str(value) for key, value in problem.get("ctx", {}).items()}
    return str(shown | {"ctx": context} if context else shown)


def _shown_input(value: object) -> str:
    if isinstance(value, dict | list):
        return f"<{type(value).__name__} of {len(value)} items>"
    return str(value)
