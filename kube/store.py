"""The set of objects of a kind as last told, and what changes in it.

Lives here: the set and its version, without I/O.  Not here: who tells (informer).
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from kube.objects import Event, Key, Object

T = TypeVar("T", bound=Object)


class Store(Generic[T]):
    """The objects by key, and the version of the set, "" when it has to be listed.

    An object that is not `wanted` is as one that is not there.
    """

    def __init__(self, wanted: Callable[[T], bool] = lambda _one: True) -> None:
        self._wanted = wanted
        self._objects: dict[Key, T] = {}
        self.objects: Mapping[Key, T] = MappingProxyType(self._objects)  # a view: it follows
        self.version = ""

    def replace(self, objects: Iterable[T], version: str) -> set[Key]:
        """Take the whole set as listed; return the keys of what differs, what is gone among them."""
        before = dict(self._objects)
        self._objects.clear()
        self._objects.update((one.metadata.key, one) for one in objects if self._wanted(one))
        self.version = version
        return {key for key in before.keys() | self._objects.keys() if self._is_changed(key, before)}

    def _is_changed(self, key: Key, before: Mapping[Key, T]) -> bool:
        old, new = before.get(key), self._objects.get(key)
        return old is None or new is None or old.metadata.resource_version != new.metadata.resource_version

    def take(self, events: Iterable[Event[T]]) -> set[Key]:
        """Take what a watch tells; return the keys of what changed.

        An object that does not fit any more stays as it was until it is gone.
        """
        changed = set()
        for event in events:
            self.version = event.version
            if event.type == "DELETED":
                self._objects.pop(event.key, None)
            elif event.object is None:
                continue
            elif self._wanted(event.object):
                self._objects[event.key] = event.object
            elif self._objects.pop(event.key, None) is None:
                continue
            changed.add(event.key)
        return changed
