"""The prompt of a request: the text that routing and prefix matching see, and its size (docs/contracts.md section 1).

Lives here: building a Prompt from the fields of a body.  Not here: tokens, which are estimated from bytes
(accounting.estimates).
The text begins with tools, then system text, then each message as its role and contents, so that each request of a
conversation begins with the text of the request before.
A picture, recording or file is represented by a digest of fixed length (media).
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from gateway.openai.errors import BadRequestError
from gateway.openai.fields import Body, as_json, check_length, field_error, first_given, required_text
from gateway.openai.media import AUDIO_TOKENS, FILE_TOKENS, MediaCount

MAX_PROMPTS = 2048
"""Prompts of a batch at most, and queries: as many inputs as OpenAI's embeddings take."""
MAX_MESSAGES = 4096
"""Messages of a conversation, or items of a Responses `input`, at most: each costs some 1 us (chosen; the longest
contexts of models hold a million tokens)."""
MAX_PARTS = 2048
"""Content parts of a whole request at most: each costs some 1 us, with a picture 2 us (chosen)."""
MAX_DOCUMENTS = 10_000
"""Documents of rerank and score at most (Cohere's API has the same limit)."""
MAX_TOOLS = 4096
"""Tools of a request at most (chosen; OpenAI takes 128)."""

_SCORE_SIDES = (
    (("query", "queries", "text_1", "data_1"), MAX_PROMPTS),
    (("documents", "items", "text_2", "data_2"), MAX_DOCUMENTS),
)
"""Both sides of rerank and score, the query, which repeats, first: the names that vLLM accepts, of which it reads the
first that is there, and the most items."""

_TOKEN_IDS = array("I")
"""The encoding of token ids: 4 bytes each, so that a prefix of the ids is a prefix of the bytes."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt of one request.  `count` is the number of prompts in a batch, each of which is answered.

    `media_tokens` are the stated tokens of its pictures, recordings and files, whose digests are in the text.
    """

    text: str = ""
    token_ids: bytes = b""
    count: int = 1
    media_tokens: int = 0
    repeated_bytes: int = 0
    """The most bytes of it that an engine reads again: a query for each further document."""

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
    media = MediaCount()
    pieces = [
        *_tools(body, media),
        *_content(body.get("system"), "system", media),
        *_messages(body.get("messages"), "messages", media),
    ]
    return Prompt("\n".join(pieces), media_tokens=media.tokens)


def batch_chat_prompt(body: Body) -> Prompt:
    """Read the prompts of vLLM's chat in batches: `messages` is a list of conversations."""
    conversations = body.get("messages")
    if not isinstance(conversations, list) or not conversations:
        raise field_error("messages", conversations, "must be a non-empty list of lists")
    check_length(conversations, "messages", MAX_PROMPTS)
    media = MediaCount()
    pieces = _tools(body, media)
    for index, messages in enumerate(conversations):
        pieces += _messages(messages, f"messages[{index}]", media)
        check_length(pieces, "messages", MAX_MESSAGES + MAX_PARTS)
    return Prompt("\n".join(pieces), count=len(conversations), media_tokens=media.tokens)


def responses_prompt(body: Body) -> Prompt:
    """Read the prompt of Responses: `tools`, `instructions`, and `input` as a string or a list of items."""
    value = body.get("input")
    media = MediaCount()
    pieces = [*_tools(body, media), *_content(body.get("instructions"), "instructions", media)]
    if isinstance(value, str):
        return Prompt("\n".join([*pieces, "user", value]), media_tokens=media.tokens)
    if not isinstance(value, list) or not value:
        raise field_error("input", value, "must be a string or a non-empty list")
    check_length(value, "input", MAX_MESSAGES)
    parts = 0
    for item in value:
        found = _item(item, media)
        parts += len(found) - 1
        _check_parts(parts, "input")
        pieces += found
    return Prompt("\n".join(pieces), media_tokens=media.tokens)


def completion_prompt(body: Body) -> Prompt:
    """Read the prompt of completions: `prompt`, or vLLM's `prompt_embeds`, which take its place or stand beside it."""
    embeds = body.get("prompt_embeds") is not None
    if body.get("prompt") is None and embeds:
        return Prompt(media_tokens=FILE_TOKENS)
    prompt = _batch(body.get("prompt"), "prompt")
    return replace(prompt, media_tokens=FILE_TOKENS) if embeds else prompt


def input_prompt(body: Body) -> Prompt:
    """Read the prompt of embeddings and classify: `input` as a batch or content parts, or vLLM's `messages`."""
    value = body.get("input")
    if value is None and "messages" in body:
        return chat_prompt(body)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        media = MediaCount()
        return Prompt("\n".join(_content(value, "input", media)), media_tokens=media.tokens)
    return _batch(value, "input")


def rerank_prompt(body: Body) -> Prompt:
    """Read the prompt of rerank: `query` and `documents`, both required."""
    for field in ("query", "documents"):
        if body.get(field) is None:
            raise field_error(field, None, "is required")
    return score_prompt(body)


def score_prompt(body: Body) -> Prompt:
    """Read the prompt of score: two sides under one of several pairs of names; engines check that both are there."""
    media, sides, counts = MediaCount(), [], []
    for names, most in _SCORE_SIDES:
        name = first_given(body, names)
        if name is not None:
            sides.append(_side(body[name], name, media, most))
            counts.append(_items(body[name]))
    text = "\n".join([side.text for side in sides if side.text])
    token_ids = b"".join([side.token_ids for side in sides])
    repeats = counts[-1] - 1 if counts[:1] == [1] else 0
    repeated_bytes = repeats * (sides[0].text_bytes + sides[0].token_count) if repeats else 0
    return Prompt(text, token_ids, media_tokens=media.tokens, repeated_bytes=repeated_bytes)


def _items(side: object) -> int:
    """Return of how many texts, parts or lists of token ids one side of a score consists."""
    return len(side) if isinstance(side, list) and side and not isinstance(side[0], int) else 1


def text_prompt(body: Body) -> Prompt:
    """Read the prompt of images: `prompt`, one string."""
    return Prompt(required_text(body, "prompt"))


def optional_text_prompt(body: Body) -> Prompt:
    """Read the prompt of audio: `prompt` may precede the transcript of the recording."""
    return Prompt(body.get("prompt", ""), media_tokens=AUDIO_TOKENS)


def read_input(value: object, field: str) -> Prompt:
    """Read a string, a content part, token ids, or a list of any of those."""
    if isinstance(value, dict) or (isinstance(value, list) and (not value or isinstance(value[0], dict))):
        media = MediaCount()
        return replace(_side(value, field, media), media_tokens=media.tokens)
    return _batch(value, field)


def _side(value: object, field: str, media: MediaCount, most: int = MAX_DOCUMENTS) -> Prompt:
    """Read one side of a score: a text or part, a list of those, or token ids."""
    if isinstance(value, list) and value and isinstance(value[0], int | list):
        return _batch(value, field, most)
    if isinstance(value, list | dict):
        return Prompt("\n".join(_pieces([value] if isinstance(value, dict) else value, field, media, most)))
    return Prompt("\n".join(_content(value, field, media)))


def _messages(messages: object, field: str, media: MediaCount) -> list[str]:
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
            found = _content(content, f"{field}[{index}].content", media)
            parts += len(found)
            _check_parts(parts, field)
            pieces += found
        if message.get("tool_calls") is not None:
            pieces.append(media.text(message["tool_calls"], "tool_calls"))
    return pieces


def _item(item: object, media: MediaCount) -> list[str]:
    """Return the pieces of an item of a Responses `input`: a message, or a call, output or reasoning as its JSON."""
    if isinstance(item, dict) and "content" in item and "role" in item:
        return [str(item["role"]), *_content(item["content"], "input", media)]
    return _pieces([item], "input", media, 1)


def _tools(body: Body, media: MediaCount) -> list[str]:
    """Return the JSON of the tools; a key such as `image_url` in it is the name of an argument and no picture."""
    tools = body.get("tools")
    if tools is None:
        return []
    if isinstance(tools, list):
        check_length(tools, "tools", MAX_TOOLS)
    return [media.without_data_urls(as_json(tools, "tools").decode())]


def _content(content: object, field: str, media: MediaCount) -> list[str]:
    """Return the pieces of a content, which is null, a string, or a list of parts."""
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise field_error(field, content, "must be a string, a list of parts or null")
    return _pieces(list(_flattened(content)), field, media, MAX_PARTS)


def _pieces(parts: list[Any], field: str, media: MediaCount, most: int) -> list[str]:
    """Return the text of each part."""
    check_length(parts, field, most)
    pieces: list[str] = []
    for part in parts:
        if isinstance(part, str):
            pieces.append(part)
        elif isinstance(part, dict):
            text = part.get("text")
            pieces.append(text if isinstance(text, str) else media.text(part, field))
        else:
            raise field_error(field, part, "must hold strings and objects")
    return pieces


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


def _batch(value: object, field: str, most: int = MAX_PROMPTS) -> Prompt:
    """Read a string, a list of strings, a list of token ids, or a list of such lists."""
    if isinstance(value, str):
        return Prompt(value)
    if not isinstance(value, list) or not value:
        rule = "must be a string, or a non-empty list of strings, token ids or lists of token ids"
        raise field_error(field, value, rule)
    if isinstance(value[0], int):
        return Prompt(token_ids=_ids(value, field))
    check_length(value, field, most)
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
