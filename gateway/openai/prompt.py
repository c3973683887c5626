"""The text that routing and prefix matching see, and its size (contracts section 1).

Lives here: from the fields of a body to one Prompt.  Not here: tokens (estimated from bytes by whoever reserves).
The text is made so that a conversation's next request begins with the whole of the one before: tools, then system
text, then each message as its role and contents.
A picture, sound or file stands in it as a digest of fixed length: the same one matches, its bytes do not count as
text.  What it really costs is learned when the request is settled.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from gateway.openai.errors import BadRequestError
from gateway.openai.fields import Body, required_text, wrong

_MEDIA = frozenset({
    "image_url", "image", "input_image", "image_pil", "image_embeds", "audio_url", "input_audio", "audio_embeds",
    "video_url", "video", "file", "input_file", "document",
})  # fmt: skip
"""Types of content parts that carry data instead of text: OpenAI's, Anthropic's and vLLM's names."""

_DIGEST_BYTES = 16
"""Chosen: no accidental match, and 32 characters are few beside any prompt."""

_SCORE_FIELDS = ("query", "queries", "text_1", "data_1", "documents", "items", "text_2", "data_2")
"""Both sides of rerank and score, by all the names that vLLM knows; the side that repeats comes first."""

_TOKEN_IDS = array("I")
"""4 bytes each, so that a prefix of the ids is a prefix of the bytes."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a request says.  `count` prompts of a batch are answered separately."""

    text: str = ""
    token_ids: bytes = b""
    count: int = 1

    @property
    def text_bytes(self) -> int:
        """UTF-8 bytes of the text."""
        return len(self.text) if self.text.isascii() else len(self.text.encode())

    @property
    def token_count(self) -> int:
        """How many token ids there are: an exact size."""
        return len(self.token_ids) // _TOKEN_IDS.itemsize

    def encoded(self) -> bytes:
        """Text and token ids as bytes to match prefixes on."""
        return self.text.encode() + self.token_ids


def chat_prompt(body: Body) -> Prompt:
    """Chat: `tools` and `messages`.  Anthropic's messages have `system` beside them."""
    return Prompt("\n".join([
        *_as_json(body, "tools"),
        *_content(body.get("system"), "system"),
        *_messages(body.get("messages"), "messages"),
    ]))  # fmt: skip


def responses_prompt(body: Body) -> Prompt:
    """Responses: `tools`, `instructions`, and `input` as a string or a list of items."""
    said = body.get("input")
    pieces = [*_as_json(body, "tools"), *_content(body.get("instructions"), "instructions")]
    if isinstance(said, str):
        return Prompt("\n".join([*pieces, "user", said]))
    if not isinstance(said, list) or not said:
        raise wrong("input", said, "must be a string or a non-empty list")
    return Prompt("\n".join(pieces + [piece for item in said for piece in _item(item)]))


def completion_prompt(body: Body) -> Prompt:
    """Completions: `prompt`, unless vLLM's `prompt_embeds` stand for it."""
    if body.get("prompt") is None and body.get("prompt_embeds") is not None:
        return Prompt()
    return _batch(body.get("prompt"), "prompt")


def input_prompt(body: Body) -> Prompt:
    """Embeddings and classify: `input` as in completions or as content parts, or vLLM's `messages`."""
    said = body.get("input")
    if said is None and "messages" in body:
        return chat_prompt(body)
    if isinstance(said, list) and said and isinstance(said[0], dict):
        return Prompt("\n".join(_content(said, "input")))
    return _batch(said, "input")


def rerank_prompt(body: Body) -> Prompt:
    """Rerank: `query` and `documents`."""
    for field in ("query", "documents"):
        if body.get(field) is None:
            raise wrong(field, None, "must be given")
    return score_prompt(body)


def score_prompt(body: Body) -> Prompt:
    """Score: two sides under one of several pairs of names; what is missing is for the engine to say."""
    given = [(field, body.get(field)) for field in _SCORE_FIELDS]
    lists = [(field, [value] if isinstance(value, dict) else value) for field, value in given]
    return Prompt("\n".join(piece for field, value in lists for piece in _content(value, field)))


def text_prompt(body: Body) -> Prompt:
    """Images: `prompt` is one string."""
    return Prompt(required_text(body, "prompt"))


def optional_text_prompt(body: Body) -> Prompt:
    """Audio: `prompt` may lead the transcript; what the recording costs is not known before."""
    return Prompt(body.get("prompt", ""))


def _messages(messages: object, field: str) -> Iterator[str]:
    if not isinstance(messages, list) or not messages:
        raise wrong(field, messages, "must be a non-empty list")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong(f"{field}[{index}]", message, "must be an object")
        role = message.get("role")
        if not isinstance(role, str):
            raise wrong(f"{field}[{index}].role", role, "must be a string")
        yield role
        content = message.get("content")
        if isinstance(content, str):
            yield content
        else:
            yield from _content(content, f"{field}[{index}].content")
        yield from _as_json(message, "tool_calls")


def _item(item: object) -> list[str]:
    """An item of a Responses `input`: a message, or a call, an output, a thought, which count as JSON."""
    if isinstance(item, dict) and "content" in item and "role" in item:
        return [str(item["role"]), *_content(item["content"], "input")]
    return [_part(item, "input")]


def _content(content: object, field: str) -> list[str]:
    """The pieces of a content: nothing, a string, or a list of parts."""
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise wrong(field, content, "must be a string, a list of parts or null")
    return [_part(part, field) for part in _flat(content)]


def _flat(parts: list[Any]) -> Iterator[object]:
    """The parts, with those of Anthropic's tool results in place of the result."""
    for part in parts:
        if isinstance(part, dict) and part.get("type") == "tool_result" and isinstance(part.get("content"), list):
            yield from part["content"]
        else:
            yield part


def _part(part: object, field: str) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise wrong(field, part, "must hold strings and objects")
    text = part.get("text")
    if isinstance(text, str):
        return text
    written = _json(part, field)
    if part.get("type") in _MEDIA or "image_url" in part:
        return blake2b(written, digest_size=_DIGEST_BYTES).hexdigest()
    return written.decode()


def _batch(value: object, field: str) -> Prompt:
    """A string, strings, token ids, or lists of token ids."""
    if isinstance(value, str):
        return Prompt(value)
    if not isinstance(value, list) or not value:
        raise wrong(field, value, "must be a string, or a non-empty list of strings, of token ids or of such lists")
    if isinstance(value[0], list):
        return Prompt(token_ids=b"".join(_ids(ids, f"{field}[{i}]") for i, ids in enumerate(value)), count=len(value))
    if isinstance(value[0], int):
        return Prompt(token_ids=_ids(value, field))
    for index, text in enumerate(value):
        if not isinstance(text, str):
            raise wrong(f"{field}[{index}]", text, "must be a string like the first")
    return Prompt("\n".join(value), count=len(value))


def _ids(ids: object, field: str) -> bytes:
    if not isinstance(ids, list):
        raise wrong(field, ids, "must be a list of token ids like the first")
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
    except TypeError:  # all of it came out of JSON, so it can only be the depth
        raise BadRequestError(f"{field} = an object, must be nested less than 254 deep", param=field) from None
