"""Response bodies: OpenAI's shapes as vLLM fills them (recorded from vLLM 0.32.0).

Lives here: JSON bodies and SSE events of chat, completions, embeddings, models and tokenize.  Not here: HTTP (serving),
error bodies (errors).
The constant part of a stream's chunks is serialised once per stream: a chunk costs one orjson call and a concatenation.
"""

import base64
import json
import struct
from collections.abc import Mapping
from collections.abc import Sequence as Series
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from simulator.core.profile import Profile
from simulator.openai import logprobs
from simulator.openai.errors import ApiError
from simulator.openai.requests import GenerationRequest
from simulator.openai.tokens import token_count, token_ids, token_texts
from simulator.openai.writing import NO_CALL, Call, Composition

FINGERPRINT = "vllm-0.32.0-simulated"
DONE = b"data: [DONE]\n\n"

Logprobs = Mapping[str, Any] | None
"""The field `logprobs` of a choice; None = not asked for."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The token counts of a response."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0  # of the prompt, for APIs that tell

    @property
    def short(self) -> dict[str, Any]:
        """The fields in the usage chunk of a stream."""
        total = self.prompt_tokens + self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens, "total_tokens": total, "completion_tokens": self.completion_tokens,
        }  # fmt: skip

    @property
    def in_chunk(self) -> dict[str, Any]:
        """The fields in every chunk under `continuous_usage_stats`."""
        return self.short | {"completion_tokens_details": None}

    @property
    def whole(self) -> dict[str, Any]:
        """The fields in a response that is not streamed."""
        return self.short | {"prompt_tokens_details": None, "completion_tokens_details": None}


class EventStream:
    """The events of one streamed response, in the order of the methods."""

    def openings(self, usage: Usage) -> list[bytes]:
        """Return the events that precede the first token; `usage` counts the prompt."""
        raise NotImplementedError

    def event(self, choice: int, position: int) -> bytes:
        """Return the event of a token, or several; empty for one that adds nothing."""
        raise NotImplementedError

    def closings(self, usage: Usage) -> list[bytes]:
        """Return the events after the last token."""
        raise NotImplementedError

    def failure(self, error: ApiError) -> list[bytes]:
        """Return the events that end a stream with an error under status 200."""
        raise NotImplementedError


class Shape:
    """The shape of one endpoint's response, streamed or whole."""

    id_prefix = "chatcmpl"
    id_separator = "-"

    def __init__(
        self,
        answer_id: str,
        created: int,
        model: str,
        logprobs: int | None = None,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        self.suffix = answer_id
        self.id = f"{self.id_prefix}{self.id_separator}{answer_id}"
        self.created = created
        self.model = model
        self.logprobs = logprobs  # see `GenerationRequest.logprobs`
        self.told = told or {}

    def whole(self, outputs: Series[Composition], usage: Usage) -> bytes:
        """Return the response that is not streamed."""
        raise NotImplementedError

    def events(self, request: GenerationRequest, outputs: Series[Composition]) -> EventStream:
        """Return the events of the response."""
        raise NotImplementedError


class ChoicesShape(Shape):
    """The shape of a response with choices, as chat and completions have it."""

    object: str
    chunk_object: str

    def __init__(self, answer_id: str, created: int, model: str, *further: Any) -> None:
        super().__init__(answer_id, created, model, *further)
        self._head = {"id": self.id, "created": created, "model": model}
        start = {"id": self.id, "object": self.chunk_object, "created": created, "model": model}
        self._chunk_head = b"data: " + orjson.dumps(start)[:-1] + b',"choices":'

    def opening(self, index: int, usage: Usage | None) -> bytes:
        """Return the event before the first token of a choice; empty where the endpoint has none."""
        raise NotImplementedError

    def piece(self, index: int, text: str, usage: Usage | None, logprobs: Logprobs = None) -> bytes:
        """Return the event of one token of text."""
        raise NotImplementedError

    def ending(
        self, index: int, text: str, end: Composition, usage: Usage | None, *, is_last: bool, logprobs: Logprobs = None
    ) -> bytes:
        """Return the event of a choice's last token; `is_last`: no usage chunk follows, so it has the fingerprint."""
        choice = self._ending_choice(index, text, end) | {"logprobs": logprobs}
        return self._event(orjson.dumps([choice]), usage, self._fingerprint if is_last else b"")

    def calling(self, index: int, number: int, call: Call, text: str | None, usage: Usage | None) -> bytes:
        """Return the event of one token of call `number`; `text` None = the one that names the function."""
        raise NotImplementedError

    def usage_event(self, usage: Usage) -> bytes:
        """Return the event that `include_usage` asks for, which has no choices."""
        return self._chunk_head + b'[],"usage":' + orjson.dumps(usage.short) + self._fingerprint + b"}\n\n"

    def token_logprobs(self, pieces: Series[str], offset: int) -> Logprobs:
        """Return the log probabilities of tokens that begin `offset` characters into the text; None if not asked."""
        raise NotImplementedError

    def whole(self, outputs: Series[Composition], usage: Usage) -> bytes:  # noqa: D102  # the base says it
        choices = [
            self._whole_choice(index, output) | {"logprobs": self.token_logprobs(output.pieces, 0)}
            for index, output in enumerate(outputs)
        ]
        head = {"id": self._head["id"], "object": self.object, **self._head}
        tail = {"service_tier": None, "system_fingerprint": FINGERPRINT, "usage": usage.whole}
        return orjson.dumps(head | {"choices": choices} | tail | self._whole_tail())

    def events(self, request: GenerationRequest, outputs: Series[Composition]) -> "ChoicesEvents":  # noqa: D102  # the base says it
        return ChoicesEvents(self, request, outputs)

    _fingerprint = b',"system_fingerprint":' + orjson.dumps(FINGERPRINT)

    def _event(self, choices: bytes, usage: Usage | None, tail: bytes = b"") -> bytes:
        counted = b',"usage":' + orjson.dumps(usage.in_chunk) if usage else b""
        return self._chunk_head + choices + counted + tail + b"}\n\n"

    def _ending_choice(self, index: int, text: str, end: Composition) -> dict[str, Any]:
        raise NotImplementedError

    def _whole_choice(self, index: int, output: Composition) -> dict[str, Any]:
        raise NotImplementedError

    def _whole_tail(self) -> dict[str, Any]:
        return {"kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}


class ChatShape(ChoicesShape):
    """/v1/chat/completions."""

    object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def opening(self, index: int, usage: Usage | None) -> bytes:  # noqa: D102  # the base says it
        delta = {"role": "assistant", "content": ""}
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        return self._event(orjson.dumps([choice]), usage, b',"prompt_token_ids":null,"prompt_text":null')

    def piece(self, index: int, text: str, usage: Usage | None, logprobs: Logprobs = None) -> bytes:  # noqa: D102  # the base says it
        choice = b'[{"index":%d,"delta":{"content":%b},"logprobs":%b,"finish_reason":null,"token_ids":null}]'
        return self._event(choice % (index, orjson.dumps(text), orjson.dumps(logprobs)), usage)

    def calling(self, index: int, number: int, call: Call, text: str | None, usage: Usage | None) -> bytes:  # noqa: D102  # the base says it
        if text is None:
            name = {"id": call_id(self.id, index, number), "type": "function", "index": number}
            told = name | {"function": {"name": call.name}}
        else:
            told = {"index": number, "function": {"arguments": text}}
        delta = {"content": None, "tool_calls": [told]}
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, "token_ids": None}
        return self._event(orjson.dumps([choice]), usage)

    def token_logprobs(self, pieces: Series[str], offset: int) -> Logprobs:  # noqa: ARG002, D102  # the base says it
        return None if self.logprobs is None else logprobs.of_chat(pieces, self.logprobs)

    def _ending_choice(self, index: int, text: str, end: Composition) -> dict[str, Any]:
        return {
            "index": index, "delta": {} if end.calls else {"content": text}, "logprobs": None,
            "finish_reason": end.finish_reason, "stop_reason": end.stop_reason, "token_ids": None,
        }  # fmt: skip

    def _whole_choice(self, index: int, output: Composition) -> dict[str, Any]:
        calls = [
            {"id": call_id(self.id, index, number), "type": "function",
             "function": {"name": call.name, "arguments": output.arguments(call)}}
            for number, call in enumerate(output.calls)
        ]  # fmt: skip
        message = {
            "role": "assistant", "content": None if calls else output.text, "refusal": None, "annotations": None,
            "audio": None, "function_call": None, **({"tool_calls": calls} if calls else {}), "reasoning": None,
        }  # fmt: skip
        return {
            "index": index, "message": message, "logprobs": None, "finish_reason": output.finish_reason,
            "stop_reason": output.stop_reason, "token_ids": None, "routed_experts": None,
        }  # fmt: skip

    def _whole_tail(self) -> dict[str, Any]:
        return {"prompt_logprobs": None, "prompt_token_ids": None, "prompt_text": None} | super()._whole_tail()


class CompletionShape(ChoicesShape):
    """/v1/completions."""

    id_prefix = "cmpl"
    object = chunk_object = "text_completion"

    def opening(self, index: int, usage: Usage | None) -> bytes:  # noqa: ARG002, D102  # this endpoint has none
        return b""

    def piece(self, index: int, text: str, usage: Usage | None, logprobs: Logprobs = None) -> bytes:  # noqa: D102  # the base says it
        choice = (
            b'[{"index":%d,"text":%b,"logprobs":%b,"finish_reason":null,"stop_reason":null,'
            b'"prompt_token_ids":null,"token_ids":null}]'
        )
        return self._event(choice % (index, orjson.dumps(text), orjson.dumps(logprobs)), usage)

    def token_logprobs(self, pieces: Series[str], offset: int) -> Logprobs:  # noqa: D102  # the base says it
        return None if self.logprobs is None else logprobs.of_completion(pieces, self.logprobs, offset)

    def _ending_choice(self, index: int, text: str, end: Composition) -> dict[str, Any]:
        return {
            "index": index, "text": text, "logprobs": None, "finish_reason": end.finish_reason,
            "stop_reason": end.stop_reason, "prompt_token_ids": None, "token_ids": None,
        }  # fmt: skip

    def _whole_choice(self, index: int, output: Composition) -> dict[str, Any]:
        return {
            "index": index, "text": output.text, "logprobs": None, "finish_reason": output.finish_reason,
            "stop_reason": output.stop_reason, "token_ids": None, "prompt_logprobs": None, "prompt_token_ids": None,
            "routed_experts": None,
        }  # fmt: skip


class ChoicesEvents(EventStream):
    """The events of a streamed chat or completion."""

    def __init__(self, shape: ChoicesShape, request: GenerationRequest, outputs: Series[Composition]) -> None:
        self._shape = shape
        self._request = request
        self._outputs = outputs
        self._open = len(outputs)
        self._offsets = [0] * len(outputs)  # characters of text so far

    def openings(self, usage: Usage) -> list[bytes]:  # noqa: ARG002, D102  # the base says it; counts are in the request
        return [self._shape.opening(index, self._usage(0)) for index in range(len(self._outputs))]

    def event(self, choice: int, position: int) -> bytes:  # noqa: D102  # the base says it
        output, usage = self._outputs[choice], self._usage(position + 1)
        text, is_end = output.pieces[position], position + 1 == len(output.pieces)
        number, call = output.call_at(position) if output.calls else NO_CALL
        if call is not None:
            piece = self._shape.calling(choice, number, call, text if position > call.first else None, usage)
            return piece + self._ending(choice, "", usage) if is_end else piece
        found = None
        if self._request.logprobs is not None:
            found = self._shape.token_logprobs([text], self._offsets[choice])
            self._offsets[choice] += len(text)
        return self._ending(choice, text, usage, found) if is_end else self._shape.piece(choice, text, usage, found)

    def closings(self, usage: Usage) -> list[bytes]:  # noqa: D102  # the base says it
        return [self._shape.usage_event(usage), DONE] if self._request.usage_chunk else [DONE]

    def failure(self, error: ApiError) -> list[bytes]:  # noqa: D102  # the base says it
        return [error_event(error.body) + DONE]

    def _ending(self, choice: int, text: str, usage: Usage | None, logprobs: Logprobs = None) -> bytes:
        self._open -= 1
        is_last = not self._open and not self._request.usage_chunk
        return self._shape.ending(choice, text, self._outputs[choice], usage, is_last=is_last, logprobs=logprobs)

    def _usage(self, generated: int) -> Usage | None:
        return Usage(self._request.prompt_tokens, generated) if self._request.usage_everywhere else None


def call_id(answer_id: str, choice: int, number: int) -> str:
    """Return the id of a call, which is the same for the same answer."""
    return f"chatcmpl-tool-{blake2b(f'{answer_id} {choice} {number}'.encode(), digest_size=8).hexdigest()}"


def error_event(body: dict[str, Any]) -> bytes:
    """Return the event of an error within a stream, with spaces after separators, as vLLM writes this one only."""
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def embeddings(
    answer_id: str, created: int, model: str, vectors: Series[bytes], tokens: int, *, as_base64: bool
) -> bytes:
    """Return the body of /v1/embeddings; `vectors` are little-endian 32-bit floats."""
    data = [
        {"index": index, "object": "embedding", "embedding": _vector(vector, as_base64=as_base64)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0, "prompt_tokens_details": None}
    head = {"id": f"embd-{answer_id}", "object": "list", "created": created, "model": model}
    return orjson.dumps(head | {"data": data, "usage": usage})


def models(profile: Profile, created: int, permission_ids: Series[str], roots: Mapping[str, str]) -> bytes:
    """Return the body of /v1/models: the model, then its adapters, whose paths `roots` has by name."""
    cards = [_card(profile.model, None, profile.max_model_len, created, permission_ids[0])]
    for adapter, permission in zip(profile.adapters, permission_ids[1:], strict=True):
        cards.append(_card(adapter, profile.model, None, created, permission) | {"root": roots[adapter]})
    return orjson.dumps({"object": "list", "data": cards})


def tokenized(prompt: bytes, max_model_len: int, *, with_texts: bool) -> bytes:
    """Return the body of /tokenize."""
    texts = token_texts(prompt) if with_texts else None
    return orjson.dumps(
        {"count": token_count(prompt), "max_model_len": max_model_len, "tokens": token_ids(prompt), "token_strs": texts}
    )


def _vector(vector: bytes, *, as_base64: bool) -> object:
    if as_base64:
        return base64.b64encode(vector).decode()
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def _card(name: str, parent: str | None, max_model_len: int | None, created: int, permission: str) -> dict[str, Any]:
    allowed = {
        "allow_create_engine": False, "allow_sampling": True, "allow_logprobs": True, "allow_search_indices": False,
        "allow_view": True, "allow_fine_tuning": False,
    }  # fmt: skip
    grant = {"id": f"modelperm-{permission}", "object": "model_permission", "created": created, **allowed}
    return {
        "id": name, "object": "model", "created": created, "owned_by": "vllm", "root": name, "parent": parent,
        "max_model_len": max_model_len,
        "permission": [grant | {"organization": "*", "group": None, "is_blocking": False}],
    }  # fmt: skip
