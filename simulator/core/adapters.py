"""LoRA adapters: which are loaded, and which occupy the batch's slots.

Lives here: the two sets.  Not here: the sequences that wait for a slot (engine).
"""

from collections import Counter


class UnknownAdapterError(Exception):
    """No adapter of that name is loaded."""


class AdapterLoadedError(Exception):
    """An adapter of that name is loaded already."""


class Adapters:
    """The adapters of one engine.  `slots` different ones may be in a batch; the base model needs no slot."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.loaded: dict[str, str] = {}  # name -> path, in the order of loading
        self.active: Counter[str] = Counter()  # sequences in the batch by adapter; none is 0

    def load(self, name: str, path: str) -> None:
        """Accept requests for the adapter from now on; its path is only kept.  Raises AdapterLoadedError."""
        if name in self.loaded:
            raise AdapterLoadedError(name)
        self.loaded[name] = path

    def unload(self, name: str) -> None:
        """Accept no more requests for the adapter; those that were accepted go on.  Raises UnknownAdapterError."""
        self.check(name)
        del self.loaded[name]

    def check(self, name: str) -> None:
        """Raise UnknownAdapterError unless the adapter is loaded, or the name is that of the base model: empty."""
        if name and name not in self.loaded:
            raise UnknownAdapterError(name)

    def fits(self, name: str) -> bool:
        """Whether a sequence for the adapter may join the batch."""
        return not name or name in self.active or len(self.active) < self.slots

    def join(self, name: str) -> None:
        """Count a sequence for the adapter that joins the batch."""
        if name:
            self.active[name] += 1

    def leave(self, name: str) -> None:
        """Count a sequence for the adapter that leaves the batch."""
        if name:
            self.active[name] -= 1
            if not self.active[name]:
                del self.active[name]
