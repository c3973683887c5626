"""The blocks of a prompt: one hash for each, chained over all blocks before it.

Lives here: bytes to hashes.  Not here: the bytes (gateway.openai.prompt), which pods hold which blocks (index), making
the key (gateway.worker).

The hash is XXH3 with the key, and then the hash of the block before, as its seed, so that replicas that have the same
key get the same hashes.  Clients know neither key nor hashes, so they cannot choose prompts that collide; even if they
could, a collision would only send a request to a pod that holds less of its prompt than expected.
"""

from xxhash import xxh3_64_intdigest

FIRST_BYTES = 128
"""Size of the first block, which is short so that short prompts have one too (chosen)."""
BLOCK_BYTES = 1024
"""Size of the other blocks, about 256 tokens of English (chosen: smaller ones match more of a prompt and take more time
and memory)."""
FIRST_BLOCK_MISSING_SHARE = 1 - FIRST_BYTES / BLOCK_BYTES
"""The part of a whole block by which the first block is shorter."""

_MASK = (1 << 60) - 1
"""Hashes are cut to 60 bits, because a Python int of 60 bits takes 32 bytes and one of 64 bits 48."""


def key_digest(key: int) -> int:
    """Return a number that is equal for equal keys and does not tell the key."""
    return xxh3_64_intdigest(b"prefix-key", key)


def block_hashes(key: int, prompt: bytes, *salt: str) -> list[int]:
    """Return one hash per full block; equal hashes = the same key, salt and prompt up to the end of the block.

    `key` is secret and has 64 bits.  `salt` separates caches: model or adapter, tenant.
    """
    size = len(prompt)
    if size < FIRST_BYTES:
        return []
    chain = key
    for part in salt:
        chain = xxh3_64_intdigest(part.encode(errors="surrogatepass"), chain)
    first = chain = xxh3_64_intdigest(prompt[:FIRST_BYTES], chain) & _MASK
    if size < FIRST_BYTES + BLOCK_BYTES:
        return [first]
    starts = range(FIRST_BYTES, size - BLOCK_BYTES + 1, BLOCK_BYTES)
    return [first, *[chain := xxh3_64_intdigest(prompt[at : at + BLOCK_BYTES], chain) & _MASK for at in starts]]
