"""From a request's bytes to the facts that admission and routing need; everything else passes untouched.

Lives here: which fields each operation has, and the refusal of bodies that no engine could serve.
Not here: single fields (fields), the prompt's text (prompt), tokens (estimated by whoever reserves).
Engines accept more than is known here, so only fields that the gateway reads, and a few of one obvious type, are
checked; unknown ones are the engine's business.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from gateway.openai import prompt
from gateway.openai.errors import BadRequestError
from gateway.openai.fields import Body, check_number, count, flag, required_text, wrong
from gateway.openai.form import parse_form
from gateway.openai.paths import Operation

_JSON = "application/json"
_COMPLETION_TOKENS = 16
"""The maximum of a completion that names none (OpenAI API reference, completions; vLLM has the same)."""


class InferenceRequest(NamedTuple):
    """One request as admission and routing see it.  It holds the prompt: drop it once the pod is picked."""

    operation: Operation
    model: str
    prompt: prompt.Prompt
    stream: bool
    max_output_tokens: int | None  # of one choice; None = the request names no maximum, 0 = nothing is generated
    choices: int  # how many outputs: `n` times the prompts of a batch
    wants_usage: bool  # the client itself asked for `stream_options.include_usage`
    has_stream_options: bool
    cache_salt: str = ""  # keeps its blocks in the engine's cache apart from those of other salts (vLLM's field)

    @property
    def prompt_bytes(self) -> int:
        """UTF-8 bytes of the prompt's text; token ids are not text."""
        return self.prompt.text_bytes

    @property
    def prompt_token_ids(self) -> int:
        """Tokens that were given as ids: an exact count, beside `prompt_bytes`."""
        return self.prompt.token_count

    def prompt_text(self) -> bytes:
        """What prefix matching sees: tools, system text, roles and contents in order; token ids as 4 bytes each."""
        return self.prompt.encoded()


@dataclass(frozen=True, slots=True)
class _Shape:
    """What one operation's body looks like."""

    prompt: Callable[[Body], prompt.Prompt]
    maximum: tuple[str, ...] = ()  # fields that bound the output, the strongest first
    default_maximum: int | None = 0
    streams: bool = False
    has_stream_options: bool = False
    has_n: bool = False


_AUDIO = _Shape(prompt.optional_text_prompt, default_maximum=None, streams=True)
_CHAT_MAXIMUM = ("max_completion_tokens", "max_tokens")
_SHAPES = {
    Operation.CHAT: _Shape(prompt.chat_prompt, _CHAT_MAXIMUM, None, streams=True, has_stream_options=True, has_n=True),
    Operation.COMPLETIONS: _Shape(
        prompt.completion_prompt,
        ("max_tokens",),
        _COMPLETION_TOKENS,
        streams=True,
        has_stream_options=True,
        has_n=True,
    ),
    Operation.RESPONSES: _Shape(prompt.responses_prompt, ("max_output_tokens",), None, streams=True),
    Operation.MESSAGES: _Shape(prompt.chat_prompt, ("max_tokens",), None, streams=True),
    Operation.EMBEDDINGS: _Shape(prompt.input_prompt),
    Operation.CLASSIFY: _Shape(prompt.input_prompt),
    Operation.RERANK: _Shape(prompt.rerank_prompt),
    Operation.SCORE: _Shape(prompt.score_prompt),
    Operation.IMAGES: _Shape(prompt.text_prompt, has_n=True),
    Operation.TRANSCRIPTIONS: _AUDIO,
    Operation.TRANSLATIONS: _AUDIO,
}


def parse_request(operation: Operation, content_type: str, body: bytes) -> InferenceRequest:
    """The facts of a request to an operation that has a body (any but MODELS).

    Raises BadRequestError with the field in `param`.  O(body); never raises anything else.
    """
    if not body:
        raise BadRequestError("body is empty")
    shape = _SHAPES[operation]
    fields = parse_form(content_type, body) if shape is _AUDIO else _parse_json(content_type, body)
    model = required_text(fields, "model")
    stream = shape.streams and flag(fields, "stream")
    said = shape.prompt(fields)
    return InferenceRequest(
        operation=operation,
        model=model,
        prompt=said,
        stream=stream,
        max_output_tokens=_maximum(fields, shape),
        choices=_choices(fields, shape, said),
        wants_usage=shape.has_stream_options and _wants_usage(fields, stream=stream),
        has_stream_options="stream_options" in fields,
        cache_salt=salt if isinstance(salt := fields.get("cache_salt"), str) else "",
    )


def _parse_json(content_type: str, body: bytes) -> dict[str, Any]:
    """A JSON object; the last of a repeated key counts, as it does in Python engines."""
    if content_type not in {"", _JSON} and content_type.partition(";")[0].strip().lower() != _JSON:
        raise BadRequestError("content-type must be application/json")
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Without its cause, which would keep the body, and so the prompt, alive in tracebacks.
        raise BadRequestError(f"body is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadRequestError("body must be a JSON object")
    return fields


def _maximum(fields: Body, shape: _Shape) -> int | None:
    """The output's bound: every field that could hold it is checked, the strongest that does wins.

    With `echo` a completion may generate nothing: that is how prompts are scored.
    """
    if not shape.maximum:
        return shape.default_maximum
    least = 0 if fields.get("echo") is True else 1
    check_number(fields, "temperature")
    check_number(fields, "top_p")
    bounds = [bound for field in shape.maximum if (bound := count(fields, field, least)) is not None]
    return bounds[0] if bounds else shape.default_maximum


def _choices(fields: Body, shape: _Shape, said: prompt.Prompt) -> int:
    each = count(fields, "n") if shape.has_n else None
    return (each or 1) * said.count


def _wants_usage(fields: Body, *, stream: bool) -> bool:
    """Whether the client asked for usage; options without a stream are refused as engines do."""
    options = fields.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise wrong("stream_options", options, "must be an object")
    if not stream:
        raise wrong("stream_options", options, "is only allowed with stream = true")
    return flag(options, "include_usage", inside="stream_options.")
