"""The prompt of a request: the text that routing and prefix matching see, and its size (docs/contracts.md section 1).

Lives here: building a Prompt from the fields of a body.  Not here: tokens, which are estimated from bytes
(accounting.estimates).
The text begins with tools, then system text, then each message as its role and contents, so that each request of a
conversation begins with the text of the request before.
A picture, recording or file is represented by a digest of fixed length: equal ones match, and their bytes do not count
as text.  The tokens that they cost are learned when the request is settled.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from gateway.openai.errors import BadRequestError
from gateway.openai.fields import Body, check_length, field_error, required_text

_MEDIA = frozenset({
    "image_url", "image", "input_image", "image_pil", "image_embeds", "audio_url", "input_audio", "audio_embeds",
    "video_url", "video", "file", "input_file", "document",
})  # fmt: skip
"""Types of content parts that carry data instead of text, by OpenAI's, Anthropic's and vLLM's names."""

_DIGEST_BYTES = 16
"""Bytes of a digest (chosen: no accidental match, and its 32 hexadecimal characters are few beside any prompt)."""

_SCORE_FIELDS = ("query", "queries", "text_1", "data_1", "documents", "items", "text_2", "data_2")
"""The fields of both sides of rerank and score, by all names that vLLM accepts; the query, which repeats, is first."""

MAX_PROMPTS = 2048
"""Prompts of a batch at most: as many inputs as OpenAI's embeddings take."""
MAX_MESSAGES = 4096
"""Messages of a conversation, or items of a Responses `input`, at most: each costs some 1 us (chosen; the longest
contexts of models hold a million tokens)."""
MAX_PARTS = 4096
"""Content parts of a whole request at most: each costs some 1 us, with a picture 2 us (chosen)."""
MAX_DOCUMENTS = 10_000
"""Items at most on each side of rerank and score (Cohere's API has the same limit of documents)."""
MAX_TOOLS = 4096
"""Tools of a request at most (chosen; OpenAI takes 128)."""

_TOKEN_IDS = array("I")
"""The encoding of token ids: 4 bytes each, so that a prefix of the ids is a prefix of the bytes."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt of one request.  `count` is the number of prompts in a batch, each of which is answered."""

    text: str = ""
    token_ids: bytes = b""
    count: int = 1

    @property
    def text_bytes(self) -> int:
        """The size of the text in UTF-8."""
        return len(self.text) if self.text.isascii() else len(self.text.encode())

    @property
    def token_count(self) -> int:
        """The number of token ids, which is exact."""
        return len(self.token_ids) // _TOKEN_IDS.itemsize

    def encoded(self) -> bytes:
        """Return text and token ids as the bytes whose prefixes are matched."""
        return self.text.encode() + self.token_ids


def chat_prompt(body: Body) -> Prompt:
    """Read the prompt of chat, `tools` and `messages`; Anthropic's Messages have `system` as well."""
    return Prompt("\n".join([
        *_tools(body),
        *_content(body.get("system"), "system"),
        *_messages(body.get("messages"), "messages"),
    ]))  # fmt: skip


def responses_prompt(body: Body) -> Prompt:
    """Read the prompt of Responses: `tools`, `instructions`, and `input` as a string or a list of items."""
    value = body.get("input")
    pieces = [*_tools(body), *_content(body.get("instructions"), "instructions")]
    if isinstance(value, str):
        return Prompt("\n".join([*pieces, "user", value]))
    if not isinstance(value, list) or not value:
        raise field_error("input", value, "must be a string or a non-empty list")
    check_length(value, "input", MAX_MESSAGES)
    parts = 0
    for item in value:
        found = _item(item)
        parts += len(found) - 1
        _check_parts(parts, "input")
        pieces += found
    return Prompt("\n".join(pieces))


def completion_prompt(body: Body) -> Prompt:
    """Read the prompt of completions: `prompt`, or nothing where vLLM's `prompt_embeds` take its place."""
    if body.get("prompt") is None and body.get("prompt_embeds") is not None:
        return Prompt()
    return _batch(body.get("prompt"), "prompt")


def input_prompt(body: Body) -> Prompt:
    """Read the prompt of embeddings and classify: `input` as a batch or content parts, or vLLM's `messages`."""
    value = body.get("input")
    if value is None and "messages" in body:
        return chat_prompt(body)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return Prompt("\n".join(_content(value, "input")))
    return _batch(value, "input")


def rerank_prompt(body: Body) -> Prompt:
    """Read the prompt of rerank: `query` and `documents`, both required."""
    for field in ("query", "documents"):
        if body.get(field) is None:
            raise field_error(field, None, "is required")
    return score_prompt(body)


def score_prompt(body: Body) -> Prompt:
    """Read the prompt of score: two sides under one of several pairs of names; engines check that both are there."""
    values = [(field, body.get(field)) for field in _SCORE_FIELDS]
    contents = [(field, [value] if isinstance(value, dict) else value) for field, value in values]
    return Prompt("\n".join(piece for field, content in contents for piece in _content(content, field, MAX_DOCUMENTS)))


def text_prompt(body: Body) -> Prompt:
    """Read the prompt of images: `prompt`, one string."""
    return Prompt(required_text(body, "prompt"))


def optional_text_prompt(body: Body) -> Prompt:
    """Read the prompt of audio: `prompt` may precede the transcript; the tokens of the recording are not known."""
    return Prompt(body.get("prompt", ""))


def _messages(messages: object, field: str) -> list[str]:
    if not isinstance(messages, list) or not messages:
        raise field_error(field, messages, "must be a non-empty list")
    check_length(messages, field, MAX_MESSAGES)
    pieces: list[str] = []
    parts = 0
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise field_error(f"{field}[{index}]", message, "must be an object")
        role = message.get("role")
        if not isinstance(role, str):
            raise field_error(f"{field}[{index}].role", role, "must be a string")
        pieces.append(role)
        content = message.get("content")
        if isinstance(content, str):
            pieces.append(content)
        else:
            found = _content(content, f"{field}[{index}].content")
            parts += len(found)
            _check_parts(parts, field)
            pieces += found
        pieces += _as_json(message, "tool_calls")
    return pieces


def _item(item: object) -> list[str]:
    """Return the pieces of an item of a Responses `input`: a message, or a call, output or reasoning as its JSON."""
    if isinstance(item, dict) and "content" in item and "role" in item:
        return [str(item["role"]), *_content(item["content"], "input")]
    return [_part(item, "input")]


def _tools(body: Body) -> tuple[str, ...]:
    tools = body.get("tools")
    if isinstance(tools, list):
        check_length(tools, "tools", MAX_TOOLS)
    return _as_json(body, "tools")


def _content(content: object, field: str, most: int = MAX_PARTS) -> list[str]:
    """Return the pieces of a content, which is null, a string, or a list of parts."""
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise field_error(field, content, "must be a string, a list of parts or null")
    parts = list(_flattened(content))
    check_length(parts, field, most)
    return [_part(part, field) for part in parts]


def _check_parts(parts: int, field: str) -> None:
    if parts > MAX_PARTS:
        raise BadRequestError(f"{field} = {parts} content parts, must have at most {MAX_PARTS}", param=field)


def _flattened(parts: list[Any]) -> Iterator[object]:
    """Yield the parts, and instead of an Anthropic tool result the parts in it."""
    for part in parts:
        if isinstance(part, dict) and part.get("type") == "tool_result" and isinstance(part.get("content"), list):
            yield from part["content"]
        else:
            yield part


def _part(part: object, field: str) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise field_error(field, part, "must hold strings and objects")
    text = part.get("text")
    if isinstance(text, str):
        return text
    as_json = _json(part, field)
    if part.get("type") in _MEDIA or "image_url" in part:
        return blake2b(as_json, digest_size=_DIGEST_BYTES).hexdigest()
    return as_json.decode()


def _batch(value: object, field: str) -> Prompt:
    """Read a string, a list of strings, a list of token ids, or a list of such lists."""
    if isinstance(value, str):
        return Prompt(value)
    if not isinstance(value, list) or not value:
        rule = "must be a string, or a non-empty list of strings, token ids or lists of token ids"
        raise field_error(field, value, rule)
    if isinstance(value[0], int):
        return Prompt(token_ids=_ids(value, field))
    check_length(value, field, MAX_PROMPTS)
    if isinstance(value[0], list):
        return Prompt(token_ids=b"".join(_ids(ids, f"{field}[{i}]") for i, ids in enumerate(value)), count=len(value))
    for index, text in enumerate(value):
        if not isinstance(text, str):
            raise field_error(f"{field}[{index}]", text, "must be a string, as the first item is")
    return Prompt("\n".join(value), count=len(value))


def _ids(ids: object, field: str) -> bytes:
    if not isinstance(ids, list):
        raise field_error(field, ids, "must be a list of token ids, as the first item is")
    try:
        return array(_TOKEN_IDS.typecode, ids).tobytes()
    except (TypeError, OverflowError):
        raise BadRequestError(f"{field} = a list, must hold token ids: integers from 0", param=field) from None


def _as_json(body: Body, field: str) -> tuple[str, ...]:
    value = body.get(field)
    return () if value is None else (_json(value, field).decode(),)


def _json(value: object, field: str) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # the value was parsed from JSON, so only its depth can be the cause
        raise BadRequestError(f"{field} = an object, must be nested less than 254 deep", param=field) from None
