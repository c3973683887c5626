"""The blocks of a prompt: one hash for each, chained over all blocks before it.

Lives here: bytes to hashes.  Not here: the bytes (gateway.openai.prompt), which pods hold which blocks (index).

The hash is Python's own hash of bytes (SipHash with a random key for each process): it was 4 times as fast as blake2b
and twice as fast as SHA-1 with the processor's instructions, and clients cannot construct prompts that collide.  The
price: hashes mean nothing to another process.
"""

FIRST_BYTES = 128
"""Size of the first block, which is short so that short prompts have one too (chosen)."""
BLOCK_BYTES = 1024
"""Size of the other blocks, about 256 tokens of English (chosen: smaller ones match more of a prompt and take more time
and memory)."""
FIRST_BLOCK_MISSING_SHARE = 1 - FIRST_BYTES / BLOCK_BYTES
"""The part of a whole block by which the first block is shorter."""

_MASK = (1 << 60) - 1
"""Hashes are cut to 60 bits, because a Python int of 60 bits takes 32 bytes and one of 64 bits 48."""


def block_hashes(prompt: bytes, *salt: str) -> list[int]:
    """Return one hash per full block; equal hashes = the same salt and the same prompt up to the end of the block.

    `salt` separates caches: model or adapter, tenant.
    """
    if len(prompt) < FIRST_BYTES:
        return []
    first = chain = hash((salt, prompt[:FIRST_BYTES])) & _MASK
    if len(prompt) < FIRST_BYTES + BLOCK_BYTES:
        return [first]
    starts = range(FIRST_BYTES, len(prompt) - BLOCK_BYTES + 1, BLOCK_BYTES)
    return [first, *[chain := hash((chain, prompt[at : at + BLOCK_BYTES])) & _MASK for at in starts]]
