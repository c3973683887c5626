"""The blocks of a prompt: one hash for each, chained over all before it.

Lives here: bytes to hashes.  Not here: what the bytes are (gateway.openai.prompt), who holds which block (prefix).

Python's own hash of bytes (SipHash, keyed anew in each process) is used: it was 4 times as fast as blake2b and twice
as fast as SHA-1 with the processor's help, and nobody outside can make two prompts collide.  The price: hashes mean
nothing to another process.
"""

FIRST_BYTES = 128
"""The first block is short, so that short prompts are told apart and found again (chosen)."""
BLOCK_BYTES = 1024
"""About 256 tokens of English.  Smaller blocks see more of a prompt and cost more time and memory each (chosen)."""
FIRST_BLOCK_MISSING_SHARE = 1 - FIRST_BYTES / BLOCK_BYTES
"""By this share of a block the first one is shorter."""

_MASK = (1 << 60) - 1
"""An int of 60 bits takes 32 bytes, one of 64 bits 48."""


def block_hashes(prompt: bytes, *salt: str) -> list[int]:
    """Return a hash per full block; equal hashes = the same salt and the same prompt up to there.

    `salt` is whatever keeps caches apart: model or adapter, tenant.
    """
    if len(prompt) < FIRST_BYTES:
        return []
    first = chain = hash((salt, prompt[:FIRST_BYTES])) & _MASK
    if len(prompt) < FIRST_BYTES + BLOCK_BYTES:
        return [first]
    starts = range(FIRST_BYTES, len(prompt) - BLOCK_BYTES + 1, BLOCK_BYTES)
    return [first, *[chain := hash((chain, prompt[at : at + BLOCK_BYTES])) & _MASK for at in starts]]
