"""The sender of a request: its user, and the terms of the key that named it.

Lives here: the value.  Not here: which sender a key has (keyring), who reads it off headers (gateway.admission).
"""

from typing import NamedTuple


class Sender(NamedTuple):
    """A user, and what the key allows that named it; without a key everything."""

    user: str
    key: str = ""  # the key's id; empty = no key, or one that was made before keys had terms
    expires_at: int | None = None  # seconds since 1970; None = never
    models: frozenset[str] | None = None  # None = any

    def may_use(self, model: str) -> bool:
        """Return whether the key is good for a model."""
        return self.models is None or model in self.models
