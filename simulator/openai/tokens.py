"""The simulated tokenizer, the chat template and the hashes of prompt blocks.

Lives here: text and token ids to encoded prompts.  Not here: generated text (writing).
A token is four bytes of UTF-8, and its id is those bytes read as a number.  That is near English's average in common
vocabularies, needs no vocabulary, is deterministic, and is fast for prompts of any length.
"""

from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

TOKEN_BYTES = 4
MAX_TOKEN_ID = 2 ** (8 * TOKEN_BYTES) - 1
_64_BITS = 2**64 - 1


def encode(text: str) -> bytes:
    """Return the tokens of `text`, TOKEN_BYTES bytes each; the last one is padded with NUL."""
    data = text.encode(errors="replace")
    return data + b"\0" * (-len(data) % TOKEN_BYTES)


def encode_ids(ids: Iterable[int]) -> bytes:
    """Return the encoded prompt of these token ids, each in [0, MAX_TOKEN_ID]."""
    return array("I", ids).tobytes()


def token_count(encoded: bytes) -> int:
    """Return the number of tokens of an encoded prompt."""
    return len(encoded) // TOKEN_BYTES


def token_ids(encoded: bytes) -> list[int]:
    """Return the token ids of an encoded prompt."""
    return array("I", encoded).tolist()


def decode(encoded: bytes) -> str:
    """Return the text of encoded tokens."""
    return encoded.rstrip(b"\0").decode(errors="replace")


def token_texts(encoded: bytes) -> list[str]:
    """Return the text of each token; a character that is split between tokens becomes U+FFFD, as in vLLM."""
    pieces = (encoded[start : start + TOKEN_BYTES] for start in range(0, len(encoded), TOKEN_BYTES))
    return [piece.rstrip(b"\0").decode(errors="replace") for piece in pieces]


def block_hashes(encoded: bytes, model: str, block_tokens: int) -> tuple[int, ...]:
    """Return one 64-bit hash per full block, chained over all blocks before it and over the model or adapter.

    It is Python's own hash, which differs from process to process, as vLLM's does by default.
    """
    size = block_tokens * TOKEN_BYTES
    hashes, parent = [], hash(model) & _64_BITS
    for start in range(0, len(encoded) - size + 1, size):
        parent = hash((parent, encoded[start : start + size])) & _64_BITS
        hashes.append(parent)
    return tuple(hashes)


def chat_text(messages: Iterable[Mapping[str, Any]], tools: object = None) -> str:
    """Return the text of a chat by the chat template.  Only text parts count."""
    preamble = f"<|tools|>{orjson.dumps(tools).decode()}<|end|>" if tools else ""
    turns = (
        f"<|{message['role']}|>{_content_text(message.get('content'))}{_calls_text(message)}<|end|>"
        for message in messages
    )
    return f"{preamble}{''.join(turns)}<|assistant|>"


def _calls_text(message: Mapping[str, Any]) -> str:
    calls = message.get("tool_calls")
    return orjson.dumps(calls).decode() if calls else ""


def _content_text(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part["text"]) for part in content if "text" in part)
    return str(content or "")
