"""Pictures, recordings and files in a prompt: each is represented by a digest, and costs a stated number of tokens.

Lives here: finding them, however deep they are nested.  Not here: where content stands in a body (prompt), what a model
really takes for them, which is learned (accounting.estimates).
Equal media have equal digests of fixed length, so that prefixes match, and their bytes do not count as text.  Text is
text, whatever it looks like: in messages and text parts nothing is searched for.
"""

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import orjson

from gateway.openai.fields import as_json, check_length

IMAGE_TOKENS: Final = 1000
"""Tokens of a picture until a model has told (chosen: 1,024 x 1,024 pixels take 765 to 1,400 in common models)."""
AUDIO_TOKENS: Final = 1000
"""Tokens of a recording: 40 s, by the 25 tokens a second of Whisper's encoder halved, as Qwen2-Audio has (chosen)."""
VIDEO_TOKENS: Final = 5000
"""Tokens of a video (chosen: a dozen frames in low resolution)."""
FILE_TOKENS: Final = 2000
"""Tokens of a file (chosen: two or three pages)."""
SEALED_TOKENS: Final = 500
"""Tokens of reasoning that is passed along encrypted (chosen)."""

_TYPES: Mapping[str, int] = {
    **dict.fromkeys(
        ("image_url", "image", "input_image", "image_pil", "image_embeds", "image_generation_call"), IMAGE_TOKENS
    ),
    **dict.fromkeys(("audio_url", "audio", "input_audio", "audio_embeds"), AUDIO_TOKENS),
    **dict.fromkeys(("video_url", "video", "input_video"), VIDEO_TOKENS),
    **dict.fromkeys(("file", "input_file", "document"), FILE_TOKENS),
    "redacted_thinking": SEALED_TOKENS,
}
"""Types of objects that carry data instead of text, by OpenAI's, Anthropic's and vLLM's names."""
_BY_MEDIA_TYPE: Mapping[str, int] = {"image": IMAGE_TOKENS, "audio": AUDIO_TOKENS, "video": VIDEO_TOKENS}
_TEXT_SOURCES = frozenset({"text", "content"})
"""Types of the `source` of an Anthropic document that is text."""
_SEALED: Mapping[str, int] = {
    **dict.fromkeys(("encrypted_content", "encrypted_stdout"), SEALED_TOKENS),
    **dict.fromkeys(("signature", "thought_signature", "encrypted_index"), 0),
}
"""Keys of strings that only the engine's vendor can read: reasoning and results, and proofs that they are unchanged."""
_DATA_KEYS = frozenset({"data", "file_data", "b64_json", "blob", "base64", "bytes", "result"})
"""Keys under which tools and MCP servers put base64 without saying `data:`."""
_MEDIA_TYPE_KEYS = ("media_type", "mime_type", "mimeType", "format")
"""Keys beside them that may tell the media type."""

_QUOTED = sorted(
    {"image", "input_", "audio", "video", "file", 'document"', 'redacted_thinking"', "encrypted_"}
    | {f'{key}"' for key in _DATA_KEYS}
)
_HINTS = re.compile(f'"(?:{"|".join(_QUOTED)})'.encode())
"""Some of these, `base64` or `signature"` are in every object that holds a medium.  Most have none, and a search costs
less than a walk where the object is small."""
MAX_SEARCHED: Final = 16 * 1024
"""Bytes of an object's JSON up to which it is searched; a walk of a larger one is cheaper, by its values (chosen)."""
_MARK: Final = ";base64,"
_BASE64 = re.compile(r"[A-Za-z0-9+/_=%-]*(?:(?<=[A-Za-z0-9+/_=%-]{60})\r?\n[A-Za-z0-9+/_=%-]*)*")
"""Base64, also broken into lines: of 64 or 76 characters (RFC 7468, RFC 2045), so that short lines stay text."""
MIN_RAW: Final = 256
"""Characters from which a string under one of _DATA_KEYS is tried for base64; shorter ones cost little as text."""
MIN_DATA: Final = 16
"""Characters of data in a data URL at least."""
MAX_MEDIA_TYPE: Final = 128
"""Characters between `data:` and `;base64,` at most (RFC 6838 allows 127 for each half of a media type)."""
MAX_STEPS: Final = 6144
"""Steps per request, besides one for each BYTES_PER_STEP: each value takes one.  A list or object that has more counts
as text, and so does what is left when there are none (chosen: a step is some 0.3 us)."""
SEARCH_STEPS: Final = 4
"""Steps for the search of an object's JSON, and for a string that is tried for base64."""
DIGEST_STEPS: Final = 6
"""Steps for a digest, and for a mark of a data URL."""
BYTES_PER_STEP: Final = 512
"""Bytes of an object's JSON that allow one step more, so that no large medium is left (chosen: some 1 ms per MB)."""

MAX_MEDIA: Final = 2048
"""Media at most in a field that holds nothing else (chosen: each costs 2 us)."""

_DIGEST_BYTES: Final = 16
"""Bytes of a digest (chosen: no accidental match, and its 32 hexadecimal characters are few beside any prompt)."""


class MediaCount:
    """Adds up the stated tokens of the media in one request."""

    def __init__(self) -> None:
        self.tokens = 0
        self._digests = 0
        self._steps = MAX_STEPS

    def text(self, part: Any, field: str) -> str:
        """Return the text that stands for an object: the digest of a medium, else its JSON with digests of those in it.

        Raises BadRequestError where it is nested too deep.
        """
        whole = as_json(part, field)
        self._steps += len(whole) // BYTES_PER_STEP
        if self._steps <= 0:
            return whole.decode()
        if isinstance(part, dict) and (tokens := _tokens(part)):
            return self._digest(whole, tokens)
        if len(whole) <= MAX_SEARCHED and not self._may_hold_media(whole):
            return whole.decode()
        digests = self._digests
        lean = self._lean(part)
        if isinstance(lean, str):
            return lean
        return (whole if self._digests == digests else orjson.dumps(lean)).decode()

    def without_data_urls(self, text: str) -> str:
        """Return a text in which nothing but data URLs is replaced by digests."""
        self._steps += len(text) // BYTES_PER_STEP
        return self._lean_text(text)

    def digests(self, value: Any, field: str, tokens: int) -> list[str]:
        """Return the digests of a field's media of so many tokens each: one, a list, or a list of lists of them."""
        items = [each for item in _listed(value) for each in _listed(item) if each is not None]
        check_length(items, field, MAX_MEDIA)
        return [self._digest(as_json(item, field), tokens) for item in items]

    def _may_hold_media(self, whole: bytes) -> bool:
        self._steps -= SEARCH_STEPS
        return b"base64" in whole or b'signature"' in whole or _HINTS.search(whole) is not None

    def _lean(self, value: Any) -> Any:
        """Return a copy of a value with media replaced by their digests."""
        if isinstance(value, str):
            return self._lean_text(value)
        if not isinstance(value, (dict, list)) or len(value) >= self._steps:  # a tuple: a union would be built anew
            return value
        self._steps -= 1
        if isinstance(value, dict) and (tokens := _tokens(value)):
            return self._digest(orjson.dumps(value), tokens)
        self._steps -= len(value)
        if isinstance(value, list):
            return [self._lean(each) for each in value]
        return {key: self._lean_member(value, key, each) for key, each in value.items()}

    def _lean_member(self, holder: dict[str, Any], key: str, value: Any) -> Any:
        if not isinstance(value, str):
            return self._lean(value)
        if key in _SEALED and value:
            return self._digest(value.encode(), _SEALED[key])
        if key in _DATA_KEYS and self._is_base64(holder, value):
            return self._digest(value.encode(), _tokens_of_media_type(_media_type(holder)))
        return self._lean_text(value)

    def _is_base64(self, holder: dict[str, Any], text: str) -> bool:
        kind = holder.get("type")
        if kind in ("base64", "text"):
            return bool(kind == "base64")
        if len(text) < MIN_RAW:
            return False
        self._steps -= SEARCH_STEPS
        return _BASE64.fullmatch(text, 0, MIN_RAW) is not None

    def _lean_text(self, text: str) -> str:
        """Return a text of a nested object with the data URLs in it replaced."""
        at = text.find(_MARK)
        if at < 0:
            return text
        pieces = []
        done = 0
        while at >= 0 and self._steps > 0:
            self._steps -= DIGEST_STEPS
            start = text.rfind("data:", max(done, at - MAX_MEDIA_TYPE), at)
            run = _BASE64.match(text, at + len(_MARK))
            end = run.end() if run is not None else at + len(_MARK)
            if start >= 0 and end >= at + len(_MARK) + MIN_DATA:
                tokens = _tokens_of_media_type(text[start + len("data:") : at])
                pieces += [text[done:start], self._digest(text[start:end].encode(), tokens)]
                done = end
            at = text.find(_MARK, end)
        return "".join([*pieces, text[done:]])

    def _digest(self, data: bytes, tokens: int) -> str:
        self.tokens += tokens
        self._digests += 1
        self._steps -= DIGEST_STEPS
        return blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def _tokens(part: dict[str, Any]) -> int:
    """Return the stated tokens of an object that is a medium; 0 = it is none."""
    kind = part.get("type")
    tokens = _TYPES.get(kind, 0) if isinstance(kind, str) else 0
    if not tokens and "image_url" not in part:
        return 0
    source = part.get("source")
    if isinstance(part.get("text"), str) or (isinstance(source, dict) and source.get("type") in _TEXT_SOURCES):
        return 0
    return tokens or IMAGE_TOKENS


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _media_type(holder: dict[str, Any]) -> str:
    for key in _MEDIA_TYPE_KEYS:
        said = holder.get(key)
        if isinstance(said, str):
            return said
    return ""


def _tokens_of_media_type(media_type: str) -> int:
    """Return the stated tokens by the beginning of a media type; what says nothing of itself is a file."""
    return _BY_MEDIA_TYPE.get(media_type.partition("/")[0], FILE_TOKENS)
