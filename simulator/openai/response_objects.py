"""POST /v1/responses, OpenAI's newer API as vLLM serves it (answers recorded from vLLM 0.32.0).

Lives here: the body, and the JSON and events of the answer.  Not here: what is generated (writing), HTTP (serving).
Nothing is stored: what refers to an earlier response, or asks for a background one, is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import Field

from simulator.core.profile import Profile
from simulator.openai import logprobs, structured
from simulator.openai.errors import ApiError, ParameterError
from simulator.openai.requests import Body, GenerationRequest, chat_prompt, generation_request, validated
from simulator.openai.responses import EventStream, Shape, Usage, call_id
from simulator.openai.tools import AUTO, NONE, REQUIRED, Function, Offer
from simulator.openai.writing import Composition


class ResponsesBody(Body):
    """The body; `extra` fields that the answer repeats are read as they are."""

    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: int | None = None
    stream: bool | None = None
    temperature: float | None = None
    tools: list[dict[str, Any]] = Field(default_factory=list)
    tool_choice: str | dict[str, Any] = AUTO
    parallel_tool_calls: bool | None = None
    text: dict[str, Any] | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    metadata: dict[str, Any] | None = None
    previous_response_id: str | None = None
    background: bool | None = None


def responses_request(value: object, profile: Profile) -> GenerationRequest:
    """Return the checked request of a body.  Raises ApiError."""
    body = validated(ResponsesBody, value)
    if body.previous_response_id is not None:
        raise ParameterError("The simulated engine stores no responses.", "previous_response_id")
    if body.background:
        raise ParameterError("The simulated engine answers none in the background.", "background")
    items = [{"role": "user", "content": body.input}] if isinstance(body.input, str) else body.input
    last = items[-1] if items else {}
    called = _offer(body).called(_text(last), after_result=last.get("type") == "function_call_output")
    wants_logprobs = "message.output_text.logprobs" in (body.include or ())
    return generation_request(
        body, (_prompt(body, items),), body.max_output_tokens, profile, max_name="max_output_tokens",
        temperature=body.temperature, stream=bool(body.stream), functions=called,
        form=structured.response_format((body.text or {}).get("format"), "text.format"),
        logprobs=(body.top_logprobs or 0) if wants_logprobs else None, told=_told(body),
    )  # fmt: skip


def _prompt(body: ResponsesBody, items: list[dict[str, Any]]) -> bytes:
    turns = [{"role": item.get("role", item.get("type", "user")), "content": _text(item)} for item in items]
    system = [{"role": "system", "content": body.instructions}] if body.instructions else []
    return chat_prompt([*system, *turns], body.tools)


def _text(item: Mapping[str, Any]) -> str:
    """Return the text of an input item: of a message, a call or a call's result."""
    content = item.get("content", item.get("output", item.get("arguments", "")))
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return str(content or "")


def _offer(body: ResponsesBody) -> Offer:
    functions = []
    for tool in body.tools:
        if tool.get("type") != "function" or not isinstance(tool.get("name"), str):
            raise ParameterError("The simulated engine has no tools of its own, only functions.", "tools")
        functions.append(Function(tool["name"], tool.get("parameters") or {}))
    choice, parallel = body.tool_choice, body.parallel_tool_calls is not False
    if isinstance(choice, dict):
        return Offer(functions, str(choice.get("name")), is_named=True, parallel=parallel)
    if choice not in {AUTO, NONE, REQUIRED}:
        raise ParameterError("tool_choice must be auto, none, required or a function", "tool_choice", choice)
    return Offer(functions, choice, parallel=parallel)


def _told(body: ResponsesBody) -> dict[str, Any]:
    """Return the fields of the request that the answer repeats."""
    return {
        "instructions": body.instructions, "metadata": body.metadata, "tools": body.tools,
        "parallel_tool_calls": body.parallel_tool_calls is not False, "tool_choice": body.tool_choice,
        "max_output_tokens": body.max_output_tokens, "text": body.text, "top_logprobs": body.top_logprobs,
        "temperature": 1.0 if body.temperature is None else body.temperature,
    }  # fmt: skip


class ResponsesShape(Shape):
    """The answer, whole or as events."""

    id_prefix = "resp"
    id_separator = "_"

    def whole(self, outputs: Sequence[Composition], usage: Usage) -> bytes:  # noqa: D102  # the base says it
        return orjson.dumps(self.response(outputs[0], usage))

    def events(self, request: GenerationRequest, outputs: Sequence[Composition]) -> "ResponsesEvents":  # noqa: ARG002, D102  # the base says it
        return ResponsesEvents(self, outputs[0])

    def response(
        self, output: Composition | None, usage: Usage | None, error: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the response object; without `output` it is in progress or, with an error, has failed."""
        is_cut = output is not None and output.finish_reason == "length"
        status = "failed" if error else "in_progress" if output is None else "incomplete" if is_cut else "completed"
        head = {
            "id": self.id, "created_at": self.created,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None, "instructions": None,
            "metadata": None, "model": self.model, "object": "response",
            "output": [] if output is None else self.items(output), "parallel_tool_calls": True, "temperature": 1.0,
            "tool_choice": AUTO, "tools": [], "top_p": 1.0, "background": False, "max_output_tokens": None,
            "max_tool_calls": None, "previous_response_id": None, "prompt": None, "reasoning": None,
            "service_tier": "auto", "status": status, "text": None, "top_logprobs": None, "truncation": "disabled",
            "usage": None if usage is None else _counts(usage), "user": None, "presence_penalty": 0.0,
            "frequency_penalty": 0.0, "kv_transfer_params": None, "ec_transfer_params": None, "input_messages": None,
            "output_messages": None,
        }  # fmt: skip
        return head | dict(self.told) | ({"error": error} if error else {})

    def items(self, output: Composition) -> list[dict[str, Any]]:
        """Return the output's items: its calls, or one message."""
        if output.calls:
            return [self.call(output, number, "completed") for number in range(len(output.calls))]
        return [self.message("completed", [self.part(output)])]

    def message(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a message of the output."""
        return {
            "id": f"msg_{self.suffix}", "content": content, "role": "assistant", "status": status, "type": "message",
            "phase": None,
        }  # fmt: skip

    def part(self, output: Composition) -> dict[str, Any]:
        """Return the one part of a message that has ended."""
        asked = self.logprobs
        entries = None if asked is None else logprobs.of_chat(output.pieces, asked)["content"]
        return {"annotations": [], "text": output.text, "type": "output_text", "logprobs": entries}

    def call(self, output: Composition, number: int, status: str) -> dict[str, Any]:
        """Return a call of the output; one that is in progress has no arguments yet."""
        call = output.calls[number]
        return {
            "arguments": "" if status == "in_progress" else output.arguments(call),
            "call_id": call_id(self.id, 0, number), "name": call.name, "type": "function_call",
            "id": f"fc_{self.suffix}_{number}", "status": status,
        }  # fmt: skip


class ResponsesEvents(EventStream):
    """The events of a streamed answer, numbered."""

    def __init__(self, shape: ResponsesShape, output: Composition) -> None:
        self._shape = shape
        self._output = output
        self._number = 0

    def openings(self, usage: Usage) -> list[bytes]:  # noqa: ARG002, D102  # the base says it; counts come at the end
        started = self._shape.response(None, None)
        opened = [self._event(f"response.{state}", response=started) for state in ("created", "in_progress")]
        return opened if self._output.calls else [*opened, self._open_message()]

    def event(self, choice: int, position: int) -> bytes:  # noqa: ARG002, D102  # the base says it; there is one choice
        piece = self._output.pieces[position]
        number, call = self._output.call_at(position)
        if call is None:
            return self._in_message("response.output_text.delta", delta=piece, logprobs=[]) if piece else b""
        if position == call.first:
            item = self._shape.call(self._output, number, "in_progress")
            return self._close_call(number - 1) + self._item("added", number, item)
        return self._in_call("response.function_call_arguments.delta", number, delta=piece)

    def closings(self, usage: Usage) -> list[bytes]:  # noqa: D102  # the base says it
        output = self._output
        last = self._close_call(len(output.calls) - 1) if output.calls else self._close_message()
        return [last, self._event("response.completed", response=self._shape.response(output, usage))]

    def failure(self, error: ApiError) -> list[bytes]:  # noqa: D102  # the base says it
        failed = self._shape.response(None, None, {"code": "server_error", "message": error.message})
        return [self._event("response.failed", response=failed)]

    def _open_message(self) -> bytes:
        part = {"annotations": [], "text": "", "type": "output_text", "logprobs": []}
        added = self._item("added", 0, self._shape.message("in_progress", []))
        return added + self._in_message("response.content_part.added", part=part)

    def _close_message(self) -> bytes:
        part = self._shape.part(self._output)
        text = self._in_message("response.output_text.done", logprobs=[], text=self._output.text)
        done = self._in_message("response.content_part.done", part=part)
        return text + done + self._item("done", 0, self._shape.message("completed", [part]))

    def _close_call(self, number: int) -> bytes:
        if number < 0:
            return b""
        call = self._shape.call(self._output, number, "completed")
        named = {"arguments": call["arguments"], "name": call["name"]}
        done = self._in_call("response.function_call_arguments.done", number, **named)
        return done + self._item("done", number, call)

    def _item(self, kind: str, number: int, item: Mapping[str, Any]) -> bytes:
        return self._event(f"response.output_item.{kind}", item=item, output_index=number)

    def _in_message(self, kind: str, **fields: Any) -> bytes:
        return self._event(kind, content_index=0, item_id=f"msg_{self._shape.suffix}", output_index=0, **fields)

    def _in_call(self, kind: str, number: int, **fields: Any) -> bytes:
        return self._event(kind, item_id=f"fc_{self._shape.suffix}_{number}", output_index=number, **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        numbered = {**fields, "sequence_number": self._number, "type": kind}
        self._number += 1
        in_order = {name: numbered[name] for name in sorted(numbered)}  # as recorded
        return f"event: {kind}\ndata: ".encode() + orjson.dumps(in_order) + b"\n\n"


def _counts(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens, "cache_write_tokens": 0, "input_tokens_per_turn": [],
            "cached_tokens_per_turn": [],
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {
            "reasoning_tokens": 0, "tool_output_tokens": 0, "output_tokens_per_turn": [],
            "tool_output_tokens_per_turn": [],
        },
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }  # fmt: skip
