"""Log probabilities of generated tokens: made up, deterministic, in the recorded shapes.

Lives here: their JSON in chat and completions.  Not here: the tokens (writing), who asks (requests).
"""

import zlib
from collections.abc import Sequence
from typing import Any

from simulator.openai.writing import PIECES

MAX_ALTERNATIVES = 20
"""The most alternatives that may be asked for (vLLM's `max_logprobs`)."""


def of_chat(pieces: Sequence[str], alternatives: int) -> dict[str, Any]:
    """Return `logprobs` of a chat choice, or of one of its chunks."""
    return {"content": [{**_entry(*best), "top_logprobs": [_entry(*each) for each in others]}
                        for best, others in (_ranked(piece, alternatives) for piece in pieces)]}  # fmt: skip


def of_completion(pieces: Sequence[str], alternatives: int, offset: int) -> dict[str, Any]:
    """Return `logprobs` of a completion's choice, or of a chunk that begins `offset` characters into its text."""
    ranked = [_ranked(piece, alternatives) for piece in pieces]
    offsets = [offset + sum(map(len, pieces[:number])) for number in range(len(pieces))]
    return {
        "text_offset": offsets,
        "token_logprobs": [best[1] for best, _ in ranked],
        "tokens": list(pieces),
        "top_logprobs": [dict(others) if others else None for _, others in ranked],
    }


def _ranked(piece: str, alternatives: int) -> tuple[tuple[str, float], list[tuple[str, float]]]:
    """Return a token with its log probability, and the most likely tokens, of which it is the first."""
    draw = zlib.crc32(piece.encode())
    first = -0.05 - draw % 1000 / 2000
    others = [PIECES[(draw + number) % len(PIECES)] for number in range(2 * MAX_ALTERNATIVES)]
    names = list(dict.fromkeys((piece, *others)))[:alternatives]
    return (piece, first), [(name, first - rank * 0.75) for rank, name in enumerate(names)]


def _entry(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
