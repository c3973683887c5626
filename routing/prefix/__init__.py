"""Prefix caching: prompts as chains of block hashes, which pod holds which blocks, and how soon blocks are reused."""
