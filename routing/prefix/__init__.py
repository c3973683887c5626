"""Prefix caching: prompts as chains of block hashes, a model of each pod's cache, and the chance of reuse."""
