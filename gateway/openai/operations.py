"""The operations of the data plane: one table of their methods, their paths and how their bodies are read.

Lives here: the table, and finding an operation by method and path (contracts section 1).  Not here: reading a body
(request), the text of a prompt (prompt), the answers that the gateway gives itself (gateway.admission).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

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


class Operation(Enum):
    """The table: one row per path.  Without a body format an operation has no body, and the gateway answers itself."""

    CHAT = ("POST", "/v1/chat/completions", _CHAT)
    COMPLETIONS = ("POST", "/v1/completions", _COMPLETIONS)
    RESPONSES = ("POST", "/v1/responses", _RESPONSES)
    MESSAGES = ("POST", "/v1/messages", _MESSAGES)  # Anthropic's
    EMBEDDINGS = ("POST", "/v1/embeddings", BodyFormat(prompt.input_prompt))
    CLASSIFY = ("POST", "/v1/classify", BodyFormat(prompt.input_prompt))
    RERANK = ("POST", "/v1/rerank", BodyFormat(prompt.rerank_prompt))
    SCORE = ("POST", "/v1/score", BodyFormat(prompt.score_prompt))
    IMAGES = ("POST", "/v1/images/generations", BodyFormat(prompt.text_prompt, has_n=True))
    TRANSCRIPTIONS = ("POST", "/v1/audio/transcriptions", _AUDIO)
    TRANSLATIONS = ("POST", "/v1/audio/translations", _AUDIO)
    MODELS = ("GET", "/v1/models", None)
    USAGE = ("GET", "/v1/usage", None)

    def __init__(self, method: str, path: str, body: BodyFormat | None) -> None:
        self.method = method
        self.path = path
        self.body = body


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
        raise MethodNotAllowedError(
            f"method = {method}, {path} answers only {operation.method}", allow=operation.method
        )
    return operation
