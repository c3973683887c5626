"""The kinds of the Gateway API and of Envoy Gateway, and of two controllers that are still to come, for tests.

Lives here: installing and removing them on a real API server, which has the former.  Not here: what is done with them
(controllers).
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import msgspec

from kube.client import Client
from kube.errors import AlreadyExists, ApiError, NotFound
from kube.objects import Kind, Object, body
from tests.support.polling import until


class Definition(Object, frozen=True):
    """A CustomResourceDefinition."""

    spec: dict[str, Any] = msgspec.field(default_factory=dict)


DEFINITIONS = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", Definition)
HTTP_ROUTES = "httproutes.gateway.networking.k8s.io"
GRANTS = "referencegrants.gateway.networking.k8s.io"
FILTERS = "httproutefilters.gateway.envoyproxy.io"
NAMES = (HTTP_ROUTES, GRANTS, FILTERS)


def definition(kind: Kind[Any]) -> dict[str, Any]:
    """The definition of a kind that takes any spec and status."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version = {"name": kind.version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind.name, "plural": kind.plural, "singular": kind.name.lower()}
    spec = {"group": kind.group, "scope": "Namespaced", "names": names, "versions": [version]}
    return body(DEFINITIONS, f"{kind.plural}.{kind.group}", spec=spec)


async def install(client: Client, definitions: Iterable[dict[str, Any]]) -> None:
    """Install kinds, and wait until they are served."""
    for one in definitions:
        with suppress(AlreadyExists):
            await client.create(DEFINITIONS, one)
        await until(lambda one=one: _is_served(client, one["spec"]))


async def remove(client: Client, *names: str) -> list[dict[str, Any]]:
    """Remove kinds with all their objects; returns what would install them again."""
    removed = []
    for name in names:
        found = await client.get(DEFINITIONS, name)
        removed.append(body(DEFINITIONS, name, metadata={"annotations": found.metadata.annotations}, spec=found.spec))
        await client.delete(DEFINITIONS, name)
        await until(lambda spec=found.spec: _is_gone(client, spec))
    return removed


def _kind(spec: dict[str, Any]) -> Kind[Object]:
    version = spec["versions"][-1]["name"]
    return Kind(spec["group"], version, spec["names"]["kind"], spec["names"]["plural"], Object)


async def _is_served(client: Client, spec: dict[str, Any]) -> bool:
    try:
        await client.list(_kind(spec))
    except ApiError:
        return False
    return True


async def _is_gone(client: Client, spec: dict[str, Any]) -> bool:
    try:
        await client.list(_kind(spec))
    except NotFound:
        return True
    return False
