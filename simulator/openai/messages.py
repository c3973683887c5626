"""POST /v1/messages, Anthropic's API as vLLM serves it (answers recorded from vLLM 0.32.0).

Lives here: the body, and the JSON and events of the answer.  Not here: what is generated (writing), HTTP (serving).
vLLM reports no cache reads here; they are added in Anthropic's own field, and `input_tokens` is without them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict

from simulator.core.profile import Profile
from simulator.openai.errors import ApiError, ParameterError
from simulator.openai.requests import Body, GenerationRequest, chat_prompt, generation_request, served_model, validated
from simulator.openai.responses import EventStream, Shape, Usage, call_id
from simulator.openai.tokens import token_count
from simulator.openai.tools import AUTO, NONE, REQUIRED, Function, Offer
from simulator.openai.writing import Composition

STOP_REASONS: Mapping[str, str] = {"length": "max_tokens", "tool_calls": "tool_use", "stop": "end_turn"}
ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error", 404: "not_found_error", 503: "overloaded_error", 500: "api_error",
}  # fmt: skip


class Turn(BaseModel):
    """One message; its content is text or blocks."""

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class Tool(BaseModel):
    """One tool of the client's."""

    model_config = ConfigDict(extra="allow")

    name: str
    input_schema: dict[str, Any] = {}


class ToolChoice(BaseModel):
    """Whether tools are used."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class CountBody(Body):
    """POST /v1/messages/count_tokens."""

    messages: list[Turn]
    system: str | list[dict[str, Any]] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None


class MessagesBody(CountBody):
    """POST /v1/messages."""

    max_tokens: int
    stop_sequences: list[str] | None = None
    stream: bool = False
    temperature: float | None = None


def messages_request(value: object, profile: Profile) -> GenerationRequest:
    """Return the checked request of a body.  Raises ApiError."""
    body = validated(MessagesBody, value)
    last = body.messages[-1] if body.messages else Turn(role="user", content="")
    results = [block for block in _blocks(last.content) if block.get("type") == "tool_result"]
    return generation_request(
        body, (_prompt(body),), body.max_tokens, profile,
        temperature=body.temperature, stop=tuple(body.stop_sequences or ()), stream=body.stream,
        natural_end=True, functions=_offer(body).called(_text(last.content), after_result=bool(results)),
    )  # fmt: skip


def counted(value: object, profile: Profile) -> bytes:
    """Return the answer of count_tokens.  Raises ApiError."""
    body = validated(CountBody, value)
    served_model(body, profile)
    return orjson.dumps({"input_tokens": token_count(_prompt(body))})


def error_body(error: ApiError) -> dict[str, Any]:
    """Return an error in Anthropic's shape."""
    return {"type": "error", "error": {"type": ERROR_TYPES.get(error.status, "api_error"), "message": error.message}}


def _prompt(body: CountBody) -> bytes:
    turns = [{"role": turn.role, "content": _text(turn.content)} for turn in body.messages]
    system = [{"role": "system", "content": _text(body.system)}] if body.system else []
    return chat_prompt([*system, *turns], [tool.model_dump() for tool in body.tools or ()])


def _blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _text(content: str | list[dict[str, Any]]) -> str:
    """Return the text of blocks: text as it is, calls and results as JSON; pictures have none."""
    parts = []
    for block in _blocks(content):
        match block.get("type"):
            case "text":
                parts.append(str(block.get("text", "")))
            case "tool_use":
                parts.append(orjson.dumps([block.get("name"), block.get("input")]).decode())
            case "tool_result":
                inner = block.get("content")
                parts.append(_text(inner) if isinstance(inner, str | list) else "")
    return "".join(parts)


def _offer(body: CountBody) -> Offer:
    functions = [Function(tool.name, tool.input_schema) for tool in body.tools or ()]
    choice = body.tool_choice or ToolChoice(type="auto")
    if choice.type == "tool" and not choice.name:
        raise ParameterError("a tool_choice of type tool must have a name", "tool_choice")
    words = {"auto": AUTO, "any": REQUIRED, "none": NONE, "tool": choice.name or ""}
    return Offer(functions, words[choice.type], choice.type == "tool", not choice.disable_parallel_tool_use)


class MessagesShape(Shape):
    """The answer, whole or as events."""

    def whole(self, outputs: Sequence[Composition], usage: Usage) -> bytes:  # noqa: D102  # the base says it
        (output,) = outputs
        content: list[dict[str, Any]] = [
            {"type": "tool_use", "id": call_id(self.id, 0, number), "name": call.name,
             "input": _whole_input(output.arguments(call))}
            for number, call in enumerate(output.calls)
        ] or [{"type": "text", "text": output.text}]  # fmt: skip
        return orjson.dumps(
            {**self.head(), "content": content, "model": self.model, **_stop(output), "usage": counts(usage)}
        )

    def events(self, request: GenerationRequest, outputs: Sequence[Composition]) -> "MessagesEvents":  # noqa: ARG002, D102  # the base says it
        return MessagesEvents(self, outputs[0])

    def head(self) -> dict[str, Any]:
        """Return the constant fields."""
        return {"id": self.id, "type": "message", "role": "assistant"}


class MessagesEvents(EventStream):
    """The events of a streamed answer: a content block for its text, or one for each call."""

    def __init__(self, shape: MessagesShape, output: Composition) -> None:
        self._shape = shape
        self._output = output
        self._usage = Usage(0, 0)
        self._index = -1  # of the block that is open

    def openings(self, usage: Usage) -> list[bytes]:  # noqa: D102  # the base says it
        self._usage = usage
        message = {
            **self._shape.head(), "content": [], "model": self._shape.model, "stop_reason": None, "stop_sequence": None,
            "usage": counts(usage),
        }  # fmt: skip
        opened = [_event("message_start", message=message)]
        return opened if self._output.calls else [*opened, self._open({"type": "text", "text": ""})]

    def event(self, choice: int, position: int) -> bytes:  # noqa: ARG002, D102  # the base says it; there is one choice
        piece = self._output.pieces[position]
        number, call = self._output.call_at(position)
        if call is None:
            return self._delta({"type": "text_delta", "text": piece}) if piece else b""
        if position == call.first:
            block = {"type": "tool_use", "id": call_id(self._shape.id, 0, number), "name": call.name, "input": {}}
            return self._close() + self._open(block)
        return self._delta({"type": "input_json_delta", "partial_json": piece})

    def closings(self, usage: Usage) -> list[bytes]:  # noqa: D102  # the base says it
        delta = {**_stop(self._output), "stop_sequence": self._output.stop_reason}
        end = _event("message_delta", delta=delta, usage=counts(usage))
        return [self._close(), end, _event("message_stop")]

    def failure(self, error: ApiError) -> list[bytes]:  # noqa: D102  # the base says it
        return [b"event: error\ndata: " + orjson.dumps(error_body(error)) + b"\n\n"]

    def _open(self, block: dict[str, Any]) -> bytes:
        self._index += 1
        return _event("content_block_start", content_block=block, index=self._index)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", delta=delta, index=self._index)

    def _close(self) -> bytes:
        return _event("content_block_stop", index=self._index) if self._index >= 0 else b""


def counts(usage: Usage) -> dict[str, int]:
    """Return Anthropic's `usage`: input tokens without those that were read from the cache."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens, "output_tokens": usage.completion_tokens,
        "cache_read_input_tokens": usage.cached_tokens, "cache_creation_input_tokens": 0,
    }  # fmt: skip


def _stop(output: Composition) -> dict[str, Any]:
    if output.stop_reason is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": output.stop_reason}
    reason = "tool_calls" if output.calls and output.finish_reason != "length" else output.finish_reason
    return {"stop_reason": STOP_REASONS[reason]}


def _whole_input(arguments: str) -> Any:
    """Return the arguments of a call; of one that was cut off, an empty object."""
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return {}


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + orjson.dumps({"type": kind, **fields}) + b"\n\n"
