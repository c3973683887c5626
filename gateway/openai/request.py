"""From a request's bytes to the facts that admission and routing need; everything else passes untouched.

Lives here: reading a body by its operation's format, and refusing bodies that no engine could serve.
Not here: which format an operation has (operations), parsing (json_body, form), single fields (fields), the prompt's
text (prompt), tokens (accounting.estimates).
Engines accept more than is known here, so only fields that the gateway reads, and a few of one obvious type, are
checked; all others pass to the engine unchecked.
"""

from typing import Any, NamedTuple

from gateway.openai.errors import BadRequestError
from gateway.openai.fields import Body, check_number, count, field_error, flag, required_text
from gateway.openai.form import parse_form
from gateway.openai.json_body import parse_object
from gateway.openai.operations import BodyFormat, Operation
from gateway.openai.output_limit import OutputLimit
from gateway.openai.prompt import Prompt

_JSON = "application/json"

_EVENT_FIELDS = ("logprobs", "top_logprobs", "return_token_ids", "echo", "tools")
"""The fields that add to the events of a stream."""


class InferenceRequest(NamedTuple):
    """One request as admission and routing see it.  It holds the prompt, so it is dropped once a pod is picked."""

    operation: Operation
    model: str  # empty = the body names none, and need not
    prompt: Prompt
    stream: bool
    max_output_tokens: int | None  # of one choice; None = the request names no maximum, 0 = nothing is generated
    choices: int  # the number of outputs: `n`, or `best_of`, times the prompts of a batch
    wants_usage: bool  # `stream_options.include_usage` is asked for
    has_stream_options: bool
    event_options: tuple[object, ...] = ()  # of a stream: those that decide how many bytes its events have
    cache_salt: str = ""  # vLLM's field: blocks in the engine's cache are shared only between equal salts
    is_free: bool = False  # counts as a request, and no tokens are charged
    needs_earlier: bool = False  # needs an earlier answer, which one pod has and others answer 404 about
    max_fields: tuple[str, ...] = ()  # those that bound the output and are there, null included
    can_be_limited: bool = True  # a maximum can be set in the body, or nothing is generated

    @property
    def prompt_bytes(self) -> int:
        """The size of the prompt's text in UTF-8; token ids are not text."""
        return self.prompt.text_bytes

    @property
    def prompt_token_ids(self) -> int:
        """The number of tokens that were sent as ids, in addition to `prompt_bytes`."""
        return self.prompt.token_count

    def output_limit(self, tokens: int) -> OutputLimit:
        """Return a lower maximum of each answer.  Precondition: `can_be_limited`, and something is generated."""
        body_format = self.operation.body
        if body_format is None:
            raise ValueError(self.operation)
        fields = self.max_fields or body_format.max_fields[-1:]
        return OutputLimit(tokens, body_format.inside, fields, is_new=not self.max_fields)

    def prompt_text(self) -> bytes:
        """Return the bytes whose prefixes are matched: the prompt's text, then token ids of 4 bytes each."""
        return self.prompt.encoded()


def parse_request(operation: Operation, content_type: str, body: bytes) -> InferenceRequest:
    """Read the body of a request to an operation that has one.  O(len(body)).

    Raises BadRequestError with the field in `param`, and nothing else for any bytes.
    """
    body_format = operation.body
    if body_format is None:
        raise ValueError(f"{operation.path} has no body")
    if body_format.is_stored:
        return InferenceRequest(operation, "", Prompt(), False, 0, 1, False, False, is_free=True, needs_earlier=True)
    if not body:
        raise BadRequestError("body is empty")
    fields: Body = (
        parse_form(content_type, body, body_format.file) if body_format.is_form else _parse_json(content_type, body)
    )
    model = required_text(fields, "model") if body_format.needs_model or fields.get("model") is not None else ""
    stream = body_format.streams and flag(fields, "stream")
    prompt = body_format.prompt(fields)
    return InferenceRequest(
        operation=operation,
        model=model,
        prompt=prompt,
        stream=stream,
        max_output_tokens=_max_output_tokens(fields, body_format),
        choices=_choices(fields, body_format, prompt),
        wants_usage=body_format.has_stream_options and _wants_usage(fields, stream=stream),
        has_stream_options="stream_options" in fields,
        event_options=_event_options(fields) if stream else (),
        cache_salt=salt if isinstance(salt := fields.get("cache_salt"), str) else "",
        is_free=body_format.is_free,
        needs_earlier=bool(body_format.earlier and fields.get(body_format.earlier)),
        max_fields=tuple([field for field in body_format.max_fields if field in _parameters(fields, body_format)]),
        can_be_limited=_can_be_limited(fields, body_format),
    )


def _parse_json(content_type: str, body: bytes) -> dict[str, Any]:
    if content_type not in {"", _JSON} and content_type.partition(";")[0].strip().lower() != _JSON:
        raise BadRequestError("content-type must be application/json")
    return parse_object(body)


def _max_output_tokens(fields: Body, body_format: BodyFormat) -> int | None:
    """Return the bound of one choice: all fields that may name one are checked, the strongest that does decides.

    A completion with `echo` may ask for 0 tokens: that is how prompts are scored.
    """
    if not body_format.max_fields:
        return body_format.default_max
    minimum = 0 if fields.get("echo") is True else 1
    fields = _parameters(fields, body_format)
    check_number(fields, "temperature")
    check_number(fields, "top_p")
    bounds = [bound for field in body_format.max_fields if (bound := count(fields, field, minimum)) is not None]
    return bounds[0] if bounds else body_format.default_max


def _can_be_limited(fields: Body, body_format: BodyFormat) -> bool:
    """Return whether a maximum can be set; SGLang's list of parameters, and recordings, have no place for it."""
    if not body_format.max_fields:
        return body_format.default_max == 0
    return not (body_format.inside and isinstance(fields.get(body_format.inside), list))


def _choices(fields: Body, body_format: BodyFormat, prompt: Prompt) -> int:
    if not body_format.has_n:
        return prompt.count
    parameters = _parameters(fields, body_format)
    return max(count(parameters, "n") or 1, count(parameters, "best_of") or 1) * prompt.count


def _event_options(fields: Body) -> tuple[object, ...]:
    """Return the values that change the bytes of a stream's events; a mapping or a list only by being there."""
    options = fields.get("stream_options")
    continuous = isinstance(options, dict) and options.get("continuous_usage_stats") is True
    values = [fields.get(field) for field in _EVENT_FIELDS]
    return (continuous, *[value if value is None or isinstance(value, int) else True for value in values])


def _parameters(fields: Body, body_format: BodyFormat) -> Body:
    """Return the object that holds the maximum of tokens and `n`; SGLang also takes a list of such objects."""
    if not body_format.inside:
        return fields
    parameters = fields.get(body_format.inside)
    return parameters if isinstance(parameters, dict) else {}


def _wants_usage(fields: Body, *, stream: bool) -> bool:
    """Return whether the client asked for usage; without a stream the engine judges `stream_options`."""
    options = fields.get("stream_options")
    if options is None or not stream:
        return False
    if not isinstance(options, dict):
        raise field_error("stream_options", options, "must be an object")
    return flag(options, "include_usage", inside="stream_options.")
