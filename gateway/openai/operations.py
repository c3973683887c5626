"""The operations of the data plane: one table of their methods, their paths and how their bodies are read.

Lives here: the table, and finding an operation by method and path (docs/contracts.md section 1).  Not here: reading a
body (request), the text of a prompt (prompt, native_prompts), the answers that the gateway gives itself
(gateway.admission).
A path that is not in the table is 404, so that clients never reach an engine's controls: sleep, adapters, caches and
weights.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple
from urllib.parse import unquote

from gateway.openai import native_prompts as native
from gateway.openai import prompt
from gateway.openai.errors import MethodNotAllowedError, UnknownPathError
from gateway.openai.fields import Body

_MAX_PATH_IN_ERROR = 100
"""Characters of an unknown path that an error message repeats; chosen to fit a line of a terminal."""

_DEFAULT_COMPLETION_TOKENS = 16
"""The maximum of a completion that names none (OpenAI API reference, completions; vLLM has the same)."""

_DEFAULT_GENERATE_TOKENS = 128
"""The same of SGLang's own API (sampling parameters, max_new_tokens)."""

ANTHROPIC_TARGETS = r"/v1/messages(?:[/?].*)?"
"""Targets, as a regular expression, whose errors have Anthropic's shape; there need not be such a path."""
_ANTHROPIC = re.compile(ANTHROPIC_TARGETS, re.DOTALL)
_MODELS_PREFIX = "/v1/models/"
_RESPONSE = re.compile(r"/v1/responses/[A-Za-z0-9][A-Za-z0-9_.:-]*((?:/cancel|/input_items)?)")
"""A stored response; its id has no percent signs and no slashes, so that an engine cannot read another path in it."""


@dataclass(frozen=True, slots=True)
class BodyFormat:
    """The way in which the body of one operation is read, and what it is charged."""

    prompt: Callable[[Body], prompt.Prompt]
    max_fields: tuple[str, ...] = ()  # fields that bound the output tokens of one choice, the strongest first
    default_max: int | None = 0  # the bound where no field names one; None = unbounded, 0 = generates nothing
    inside: str = ""  # the member that holds `max_fields` and `n`; empty = the body itself
    streams: bool = False  # may be asked to stream its answer
    has_stream_options: bool = False  # a stream reports its usage only if `stream_options` ask; others always do
    has_n: bool = False  # `n` is the number of choices
    is_form: bool = False  # multipart/form-data, as audio is sent; otherwise JSON
    file: str = ""  # the part that such a form must have
    needs_model: bool = True  # False: engines take the model that they serve where the body names none
    is_free: bool = False  # counts as a request, and no tokens are charged: no GPU works for it
    is_stored: bool = False  # asks for an earlier answer, which one pod has; a body, if there is one, is not read
    earlier: str = ""  # the field that names an earlier answer, which one pod has


_CHAT = BodyFormat(
    prompt.chat_prompt,
    ("max_completion_tokens", "max_tokens"),
    default_max=None,
    streams=True,
    has_stream_options=True,
    has_n=True,
)
_COMPLETIONS = replace(
    _CHAT, prompt=prompt.completion_prompt, max_fields=("max_tokens",), default_max=_DEFAULT_COMPLETION_TOKENS
)
_BATCH_CHAT = replace(_CHAT, prompt=prompt.batch_chat_prompt, streams=False, has_stream_options=False)
_RESPONSES = BodyFormat(
    prompt.responses_prompt,
    ("max_output_tokens",),
    default_max=None,
    streams=True,
    earlier="previous_response_id",
)
_MESSAGES = BodyFormat(prompt.chat_prompt, ("max_tokens",), default_max=None, streams=True)
_AUDIO = BodyFormat(prompt.optional_text_prompt, default_max=None, streams=True, is_form=True, file="file")
_SPEECH = BodyFormat(native.fields_prompt("input"), streams=True)
_IMAGE_EDITS = BodyFormat(native.picture_prompt, streams=True, is_form=True)
_EMBED = BodyFormat(native.fields_prompt("texts", "inputs"))
_POOLING = BodyFormat(native.pooling_prompt, needs_model=False)
_INPUT = BodyFormat(prompt.input_prompt)
_RERANK = BodyFormat(prompt.rerank_prompt)
_SCORE = BodyFormat(prompt.score_prompt)
_GENERATE = BodyFormat(
    native.fields_prompt("text", "input_ids"),
    ("max_new_tokens",),
    _DEFAULT_GENERATE_TOKENS,
    inside="sampling_params",
    streams=True,
    has_n=True,
    needs_model=False,
)
_GENERATE_TOKENS = replace(
    _GENERATE,
    prompt=native.fields_prompt("token_ids"),
    max_fields=("max_tokens",),
    default_max=_DEFAULT_COMPLETION_TOKENS,
)
_INVOCATIONS = replace(_CHAT, prompt=native.invocation_prompt, needs_model=False)
_PROMPT_TOOL = BodyFormat(native.no_prompt, is_free=True)
_TEXT_TOOL = replace(_PROMPT_TOOL, needs_model=False)
_STORED = replace(_TEXT_TOOL, is_stored=True)


class _Row(NamedTuple):
    """One operation.  Beside the enum because mypyc does not take an `__init__` in one."""

    method: str
    path: str
    body: BodyFormat | None = None


class Operation(Enum):
    """The table: one row per method and path.  What has no body format the gateway answers itself.

    Its properties read `_value_`, which is an attribute, at a quarter of the cost of `value`, which is computed.
    """

    CHAT = _Row("POST", "/v1/chat/completions", _CHAT)
    COMPLETIONS = _Row("POST", "/v1/completions", _COMPLETIONS)
    BATCH_CHAT = _Row("POST", "/v1/chat/completions/batch", _BATCH_CHAT)  # vLLM's
    RESPONSES = _Row("POST", "/v1/responses", _RESPONSES)
    GET_RESPONSE = _Row("GET", "/v1/responses/{id}", _STORED)
    DELETE_RESPONSE = _Row("DELETE", "/v1/responses/{id}", _STORED)
    CANCEL_RESPONSE = _Row("POST", "/v1/responses/{id}/cancel", _STORED)
    RESPONSE_INPUT = _Row("GET", "/v1/responses/{id}/input_items", _STORED)
    MESSAGES = _Row("POST", "/v1/messages", _MESSAGES)  # Anthropic's
    COUNT_TOKENS = _Row("POST", "/v1/messages/count_tokens", _PROMPT_TOOL)
    EMBEDDINGS = _Row("POST", "/v1/embeddings", _INPUT)
    EMBED = _Row("POST", "/v2/embed", _EMBED)  # Cohere's
    POOLING = _Row("POST", "/pooling", _POOLING)
    CLASSIFY = _Row("POST", "/v1/classify", _INPUT)
    CLASSIFY_AT_ROOT = _Row("POST", "/classify", _POOLING)
    RERANK = _Row("POST", "/v1/rerank", _RERANK)
    RERANK_V2 = _Row("POST", "/v2/rerank", _RERANK)
    RERANK_AT_ROOT = _Row("POST", "/rerank", _RERANK)
    SCORE = _Row("POST", "/v1/score", _SCORE)
    SCORE_AT_ROOT = _Row("POST", "/score", _SCORE)
    GENERATIVE_SCORING = _Row("POST", "/generative_scoring", _SCORE)
    IMAGES = _Row("POST", "/v1/images/generations", BodyFormat(prompt.text_prompt, has_n=True))
    IMAGE_EDITS = _Row("POST", "/v1/images/edits", _IMAGE_EDITS)
    TRANSCRIPTIONS = _Row("POST", "/v1/audio/transcriptions", _AUDIO)
    TRANSLATIONS = _Row("POST", "/v1/audio/translations", _AUDIO)
    SPEECH = _Row("POST", "/v1/audio/speech", _SPEECH)
    GENERATE = _Row("POST", "/generate", _GENERATE)  # SGLang's
    ENCODE = _Row("POST", "/encode", _POOLING)  # SGLang's
    GENERATE_TOKENS = _Row("POST", "/inference/v1/generate", _GENERATE_TOKENS)  # vLLM's
    INVOCATIONS = _Row("POST", "/invocations", _INVOCATIONS)  # SageMaker's
    TOKENIZE = _Row("POST", "/tokenize", _TEXT_TOOL)
    TOKENIZE_V1 = _Row("POST", "/v1/tokenize", _TEXT_TOOL)
    DETOKENIZE = _Row("POST", "/detokenize", _TEXT_TOOL)
    DETOKENIZE_V1 = _Row("POST", "/v1/detokenize", _TEXT_TOOL)
    PARSE_CALLS = _Row("POST", "/parse_function_call", _TEXT_TOOL)  # SGLang's, as is the next
    SEPARATE_REASONING = _Row("POST", "/separate_reasoning", _TEXT_TOOL)
    RENDER_CHAT = _Row("POST", "/v1/chat/completions/render", _PROMPT_TOOL)
    RENDER_COMPLETION = _Row("POST", "/v1/completions/render", _PROMPT_TOOL)
    MODELS = _Row("GET", "/v1/models")
    MODEL = _Row("GET", "/v1/models/{model}")
    USAGE = _Row("GET", "/v1/usage")
    HEALTH = _Row("GET", "/health")
    PING = _Row("GET", "/ping")
    PING_BY_POST = _Row("POST", "/ping")  # as vLLM has it too
    VERSION = _Row("GET", "/version")

    @property
    def method(self) -> str:
        """The method, in upper case."""
        return self._value_.method

    @property
    def path(self) -> str:
        """The path without a query string; `{id}` and `{model}` stand for any."""
        return self._value_.path

    @property
    def body(self) -> BodyFormat | None:
        """The format of the body; None = the gateway answers itself."""
        return self._value_.body


def _by_path() -> dict[str, dict[str, Operation]]:
    """Return the operations by path and method; HEAD asks for what the gateway answers to GET."""
    found: dict[str, dict[str, Operation]] = {}
    for operation in Operation:
        methods = found.setdefault(operation.path, {})
        methods[operation.method] = operation
        if operation.body is None and operation.method == "GET":
            methods["HEAD"] = operation
    return found


_OPERATIONS = _by_path()


def find_operation(method: str, target: str) -> Operation:
    """Return the operation of a request line; a query string and a trailing slash are ignored.

    Raises UnknownPathError and MethodNotAllowedError.
    """
    path = target.partition("?")[0]
    methods = _OPERATIONS.get(path) or _OPERATIONS.get(_row(path))
    if methods is None:
        raise UnknownPathError(f"path = {path[:_MAX_PATH_IN_ERROR]}, does not exist")
    operation = methods.get(method)
    if operation is None:
        allow = ", ".join(methods)
        raise MethodNotAllowedError(f"method = {method}, {path[:_MAX_PATH_IN_ERROR]} only allows {allow}", allow=allow)
    return operation


def _row(path: str) -> str:
    """Return the path of the table that a path stands for, if any: without a trailing slash, and without names."""
    path = path.removesuffix("/")
    if path.startswith(_MODELS_PREFIX):
        return "/v1/models/{model}"
    response = _RESPONSE.fullmatch(path)
    return path if response is None else "/v1/responses/{id}" + response[1]


def forwarded_target(target: str) -> str:
    """Return the path and query string that an engine gets: it would answer a trailing slash with a redirect."""
    path, question_mark, query = target.partition("?")
    return path.removesuffix("/") + question_mark + query


def has_anthropic_errors(target: str) -> bool:
    """Return whether clients of this target expect Anthropic's shape of errors."""
    return _ANTHROPIC.fullmatch(target) is not None


def model_in_path(target: str) -> str:
    """Return the model that a request for MODEL names; slashes in it may be percent-encoded."""
    return unquote(target.partition("?")[0].removeprefix(_MODELS_PREFIX).removesuffix("/"))
