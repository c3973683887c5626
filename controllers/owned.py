"""Objects that a controller makes, mends and deletes, told by a label from those that belong to others.

Lives here: one object, what is to be done about it, and doing it.  Not here: what is wanted (the controllers).  An
object without the label is never touched: whoever takes the label off an object of ours has taken it over.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from kube.client import Client
from kube.errors import Conflict, NotFound
from kube.objects import Key, Kind, Object, body

MANAGED_BY, US = "app.kubernetes.io/managed-by", "forebay"
LABELS = {MANAGED_BY: US}

Spec = Mapping[str, Any]


class Owned(Object, frozen=True):
    """An object whose `spec` is ours as a whole."""

    spec: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether it may be changed and deleted."""
        return self.metadata.labels.get(MANAGED_BY) == US


class Wanted(NamedTuple):
    """An object that there should be.  `spec` has the values that the server would fill in; `metadata` our label."""

    kind: Kind[Any]
    namespace: str
    name: str
    spec: Spec
    metadata: Mapping[str, Any] = {"labels": LABELS}

    @property
    def id(self) -> Key:
        """Return its name among objects of all kinds."""
        return id_of(self.kind, f"{self.namespace}/{self.name}")

    def body(self) -> dict[str, Any]:
        """Return the object as it is created."""
        return body(self.kind, self.name, self.namespace, metadata=self.metadata, spec=self.spec)


def id_of(kind: Kind[Any], key: Key) -> Key:
    """Return the name of an object among those of all kinds: `HTTPRoute/namespace/name`."""
    return f"{kind.name}/{key}"


def is_settled(wanted: Wanted | None, found: Owned | None) -> bool:
    """Whether nothing is to be done: the object is as wanted, about to go as wanted, or somebody else's."""
    if found is None:
        return wanted is None
    if wanted is None:
        return not found.is_ours or found.metadata.deletion_timestamp is not None
    return not found.is_ours or found.spec == wanted.spec


async def settle(client: Client, kind: Kind[Any], wanted: Wanted | None, found: Owned | None) -> None:
    """Make, mend or delete the object, unless it is another one than `found` by now.

    Raises Conflict or AlreadyExists where it is, and ApiError.
    """
    if is_settled(wanted, found):
        return
    if found is None and wanted is not None:
        await client.create(kind, wanted.body())
    elif found is not None and wanted is not None:
        try:
            await client.merge(kind, wanted.name, wanted.namespace, mending(wanted, found))
        except NotFound as error:
            raise Conflict(str(error)) from error  # deleted meanwhile
    elif found is not None:
        with suppress(NotFound):
            await client.delete(kind, found.metadata.name, found.metadata.namespace, found.metadata.uid)


def mending(wanted: Wanted, found: Owned) -> dict[str, Any]:
    """Return a merge patch that makes the spec as wanted, whoever changed it, and fails where the object has changed.

    A server-side apply would leave what others have added.
    """
    surplus = dict.fromkeys(found.spec.keys() - wanted.spec.keys())
    return {"metadata": {"resourceVersion": found.metadata.resource_version}, "spec": {**surplus, **wanted.spec}}
