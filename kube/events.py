"""Events of objects, as `kubectl describe` shows them: told once, counted when they are repeated.

Lives here: what is told, how often, and the call.  Not here: what happened (controllers).  events.k8s.io/v1: a repeated
event is one object with a series.  An event that cannot be written is logged and forgotten: it is for people, and no
work waits for it.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import structlog

from kube.client import Client
from kube.errors import ApiError
from kube.objects import Kind, Metadata, Object, body
from kube.times import Clocks, micro_timestamp

log = structlog.get_logger(__name__)

EVENTS = Kind("events.k8s.io", "v1", "Event", "events", Object)

NOTE_BYTES, INSTANCE_BYTES = 1024, 128
"""The longest note and name of an instance that the API takes."""
REMEMBERED = 4096
"""Events whose repetitions are counted; the one that was told longest ago is forgotten first."""


_Same = tuple[str, str, str, str]
"""The marks that tell an event from others: the uid of its object, its type, reason and note."""


class About(NamedTuple):
    """The object that an event is about."""

    kind: Kind[Any]
    metadata: Metadata


@dataclass(slots=True)
class _Told:
    name: str  # of the event's object
    written_s: float
    count: int = 1


class Recorder:
    """Writes events in the name of one controller, `controller`, running as `instance`.

    The same event of the same object is written at most once per `every_s`; what comes in between is counted and told
    with the next one.  One with another note is another event, because the API does not let a note change.
    """

    def __init__(
        self, client: Client, controller: str, instance: str, *, clocks: Clocks, rng: Random, every_s: float = 60.0
    ) -> None:
        self._client = client
        self._reporting = {"reportingController": controller, "reportingInstance": instance[-INSTANCE_BYTES:]}
        self._clock, self._wall = clocks
        self._rng = rng
        self._every_s = every_s
        self._told: OrderedDict[_Same, _Told] = OrderedDict()

    async def tell(
        self, about: About, reason: str, note: str, *, warning: bool = False, action: str = "Reconcile"
    ) -> None:
        """Write the event, or count it.  `reason` and `action` are words in CamelCase."""
        kind, note = "Warning" if warning else "Normal", _short(note)
        key = (about.metadata.uid, kind, reason, note)
        try:
            if told := self._told.get(key):
                self._told.move_to_end(key)
                await self._repeat(told, about)
            else:
                told = self._remember(key, about)
                said = {"reason": reason, "action": action, "type": kind, "note": note}
                await self._client.create(EVENTS, self._body(told.name, about, said))
        except ApiError as error:
            self._told.pop(key, None)  # tell it anew: the server keeps events for an hour
            log.warning("kube_event_lost", about=about.metadata.key, reason=reason, why=str(error))

    async def _repeat(self, told: _Told, about: About) -> None:
        told.count += 1
        now_s = self._clock()
        if now_s - told.written_s >= self._every_s:
            told.written_s = now_s
            series = {"count": told.count, "lastObservedTime": micro_timestamp(self._wall())}
            await self._client.merge(EVENTS, told.name, _namespace(about), {"series": series})

    def _remember(self, key: _Same, about: About) -> _Told:
        if len(self._told) >= REMEMBERED:
            self._told.popitem(last=False)
        told = self._told[key] = _Told(f"{about.metadata.name[:230]}.{self._rng.getrandbits(64):016x}", self._clock())
        return told

    def _body(self, name: str, about: About, said: Mapping[str, str]) -> dict[str, Any]:
        metadata = about.metadata
        regarding = {
            "apiVersion": about.kind.api_version,
            "kind": about.kind.name,
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
        }
        time = micro_timestamp(self._wall())
        return body(EVENTS, name, _namespace(about), regarding=regarding, eventTime=time, **self._reporting, **said)


def _namespace(about: About) -> str:
    """Return where the event is written: events of cluster-wide objects are in `default`."""
    return about.metadata.namespace or "default"


def _short(note: str) -> str:
    return note.encode()[:NOTE_BYTES].decode(errors="ignore")
