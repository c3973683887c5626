"""Kinds of Kubernetes objects, where they are in the API, and which of their fields are read.

Lives here: names, paths, decoding, without I/O.  Not here: calls (client), the set that is kept (store).  The model of
a kind names the fields that are wanted; all others are left out while decoding, so that they cost no memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

Key = str
"""Name of an object among those of its kind: `namespace/name`, or the name alone for cluster-wide kinds."""


class Owner(msgspec.Struct, frozen=True):
    """The object that another one belongs to."""

    kind: str
    name: str
    uid: str = ""
    controller: bool | None = None


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """The fields that all objects have."""

    name: str = ""
    namespace: str = ""
    uid: str = ""  # of this object and no other, later one of the same name
    resource_version: str = ""
    generation: int = 0  # counts changes of the spec
    creation_timestamp: str | None = None  # RFC 3339
    deletion_timestamp: str | None = None  # RFC 3339; there when the object is about to go
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[Owner, ...] = ()
    finalizers: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """Return the key of the object."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Object(msgspec.Struct, frozen=True, rename="camel"):
    """Any object; a model of a kind derives from it and adds the fields that it wants."""

    metadata: Metadata = Metadata()


T = TypeVar("T", bound=Object)


class Listed(NamedTuple):
    """A part of a list: objects not decoded yet, the version of the whole list, the token of the rest ("": no rest)."""

    objects: Sequence[msgspec.Raw]
    version: str
    rest: str


class Told(msgspec.Struct):
    """One line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK, or ERROR with a Status in place of the object."""

    type: str
    object: msgspec.Raw


class Event(NamedTuple, Generic[T]):
    """One change of a set, and the version of the set with it."""

    type: str
    version: str
    key: Key  # "" for a BOOKMARK
    object: T | None  # None for a BOOKMARK, which only tells the version, and where the object does not fit its model


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of objects: where the API has it and what is read of it.  The core group is ""."""

    group: str
    version: str
    name: str  # as in "Pod"
    plural: str  # as in "pods"
    model: type[T]

    @property
    def api_version(self) -> str:
        """Return group and version as objects name them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of one object, or of all, in one namespace or (`namespace` empty) in all."""
        space = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        one = "".join(f"/{quote(part, safe='')}" for part in (name, subresource) if part)
        return f"{root(self.group, self.version)}{space}/{self.plural}{one}"

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[T]:
        return msgspec.json.Decoder(self.model)

    def decode(self, body: bytes | msgspec.Raw) -> T:
        """Return the object.  Raises msgspec.MsgspecError where it does not fit the model."""
        return self._decoder.decode(body)


class Resource(msgspec.Struct, frozen=True):
    """Something that the server has of a version of a group."""

    name: str  # the plural, for a subresource as in "pods/log"
    kind: str


def root(group: str, version: str) -> str:
    """Return the path of a version of a group, the core group where it is ""."""
    return f"/apis/{quote(group, safe='')}/{quote(version, safe='')}" if group else f"/api/{quote(version, safe='')}"


class _ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    rest: str | None = msgspec.field(name="continue", default=None)


class _List(msgspec.Struct):
    items: list[msgspec.Raw] | None
    metadata: _ListMetadata


class _Resources(msgspec.Struct):
    resources: tuple[Resource, ...]


_LISTS = msgspec.json.Decoder(_List)
_RESOURCES = msgspec.json.Decoder(_Resources)
_TOLD = msgspec.json.Decoder(Told)
_ANY = msgspec.json.Decoder(Object)


def read_list(body: bytes) -> Listed:
    """Return the list in an answer.  Raises msgspec.MsgspecError where it is none."""
    answer = _LISTS.decode(body)
    return Listed(answer.items or (), answer.metadata.resource_version, answer.metadata.rest or "")


def read_told(line: bytes) -> Told:
    """Return what a line of a watch tells.  Raises msgspec.MsgspecError where it is half a line."""
    return _TOLD.decode(line)


def read_resources(body: bytes) -> Sequence[Resource]:
    """Return what a version of a group has.  Raises msgspec.MsgspecError where the answer is something else."""
    return _RESOURCES.decode(body).resources


def read_metadata(body: msgspec.Raw) -> Metadata:
    """Return the metadata of an object of any kind."""
    return _ANY.decode(body).metadata


def body(kind: Kind[Any], name: str, namespace: str = "", **fields: Any) -> dict[str, Any]:
    """Return an object of the kind as it goes over the wire; `fields` are its members, `metadata` is added to."""
    metadata: Mapping[str, Any] = fields.pop("metadata", {})
    place = {"namespace": namespace} if namespace else {}
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {"name": name, **place, **metadata},
        **fields,
    }
