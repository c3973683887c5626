"""The operations of the data plane: one table of their methods, their paths and how their bodies are read.

Lives here: the table, and finding an operation by method and path (docs/contracts.md section 1).  Not here: reading a
body (request), the text of a prompt (prompt), the answers that the gateway gives itself (gateway.admission).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from gateway.openai import prompt
from gateway.openai.errors import MethodNotAllowedError, UnknownPathError
from gateway.openai.fields import Body

_MAX_PATH_IN_ERROR = 100
"""Characters of an unknown path that an error message repeats; chosen to fit a line of a terminal."""

_DEFAULT_COMPLETION_TOKENS = 16
"""The maximum of a completion that names none (OpenAI API reference, completions; vLLM has the same)."""


@dataclass(frozen=True, slots=True)
class BodyFormat:
    """How the body of one operation is read."""

    prompt: Callable[[Body], prompt.Prompt]
    max_fields: tuple[str, ...] = ()  # fields that bound the output tokens of one choice, the strongest first
    default_max: int | None = 0  # the bound where no field names one; None = unbounded, 0 = generates nothing
    streams: bool = False  # may be asked to stream its answer
    has_stream_options: bool = False  # a stream reports its usage only if `stream_options` ask; others always do
    has_n: bool = False  # `n` is the number of choices
    is_form: bool = False  # multipart/form-data, as audio is sent; otherwise JSON


_CHAT = BodyFormat(
    prompt.chat_prompt,
    ("max_completion_tokens", "max_tokens"),
    default_max=None,
    streams=True,
    has_stream_options=True,
    has_n=True,
)
_COMPLETIONS = BodyFormat(
    prompt.completion_prompt,
    ("max_tokens",),
    _DEFAULT_COMPLETION_TOKENS,
    streams=True,
    has_stream_options=True,
    has_n=True,
)
_RESPONSES = BodyFormat(prompt.responses_prompt, ("max_output_tokens",), default_max=None, streams=True)
_MESSAGES = BodyFormat(prompt.chat_prompt, ("max_tokens",), default_max=None, streams=True)
_AUDIO = BodyFormat(prompt.optional_text_prompt, default_max=None, streams=True, is_form=True)


class _Row(NamedTuple):
    """One operation.  Beside the enum because mypyc does not take an `__init__` in one."""

    method: str
    path: str
    body: BodyFormat | None = None


class Operation(Enum):
    """The table: one row per path.  Without a body format an operation has no body, and the gateway answers itself."""

    CHAT = _Row("POST", "/v1/chat/completions", _CHAT)
    COMPLETIONS = _Row("POST", "/v1/completions", _COMPLETIONS)
    RESPONSES = _Row("POST", "/v1/responses", _RESPONSES)
    MESSAGES = _Row("POST", "/v1/messages", _MESSAGES)  # Anthropic's
    EMBEDDINGS = _Row("POST", "/v1/embeddings", BodyFormat(prompt.input_prompt))
    CLASSIFY = _Row("POST", "/v1/classify", BodyFormat(prompt.input_prompt))
    RERANK = _Row("POST", "/v1/rerank", BodyFormat(prompt.rerank_prompt))
    SCORE = _Row("POST", "/v1/score", BodyFormat(prompt.score_prompt))
    IMAGES = _Row("POST", "/v1/images/generations", BodyFormat(prompt.text_prompt, has_n=True))
    TRANSCRIPTIONS = _Row("POST", "/v1/audio/transcriptions", _AUDIO)
    TRANSLATIONS = _Row("POST", "/v1/audio/translations", _AUDIO)
    MODELS = _Row("GET", "/v1/models")
    USAGE = _Row("GET", "/v1/usage")

    @property
    def method(self) -> str:
        """The only method that the path has."""
        return self.value.method

    @property
    def path(self) -> str:
        """The path, without a query string."""
        return self.value.path

    @property
    def body(self) -> BodyFormat | None:
        """How the body is read; None = there is none."""
        return self.value.body


_BY_PATH = {operation.path: operation for operation in Operation}


def find_operation(method: str, target: str) -> Operation:
    """Return the operation of a request line; a query string is ignored, a trailing slash makes another path.

    Raises UnknownPathError and MethodNotAllowedError.
    """
    path = target.partition("?")[0]
    operation = _BY_PATH.get(path)
    if operation is None:
        raise UnknownPathError(f"path = {path[:_MAX_PATH_IN_ERROR]}, does not exist")
    if method != operation.method:
        raise MethodNotAllowedError(f"method = {method}, {path} only allows {operation.method}", allow=operation.method)
    return operation
