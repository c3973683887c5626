"""LoRA adapters: which are loaded, and which occupy the slots of the batch.

Lives here: the two sets.  Not here: who waits for a slot (engine).
"""

from collections import Counter


class UnknownAdapterError(Exception):
    """No adapter of that name is loaded."""


class AdapterLoadedError(Exception):
    """An adapter of that name is loaded already."""


class Adapters:
    """`slots` different adapters may be in one batch; the base model needs none."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.loaded: dict[str, None] = {}  # in the order of loading
        self.active: Counter[str] = Counter()  # sequences in the batch by adapter; none is 0

    def load(self, name: str) -> None:
        """From now on requests may name it.  Raises AdapterLoadedError."""
        if name in self.loaded:
            raise AdapterLoadedError(name)
        self.loaded[name] = None

    def unload(self, name: str) -> None:
        """Take no new requests for it; those that are there go on.  Raises UnknownAdapterError."""
        self.check(name)
        del self.loaded[name]

    def check(self, name: str) -> None:
        """Raise UnknownAdapterError unless it is loaded or the base model."""
        if name and name not in self.loaded:
            raise UnknownAdapterError(name)

    def fits(self, name: str) -> bool:
        """Whether a sequence for it may join the batch."""
        return not name or name in self.active or len(self.active) < self.slots

    def join(self, name: str) -> None:
        """A sequence for it is in the batch."""
        if name:
            self.active[name] += 1

    def leave(self, name: str) -> None:
        """A sequence for it left the batch."""
        if name:
            self.active[name] -= 1
            if not self.active[name]:
                del self.active[name]
