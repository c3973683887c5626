"""The subresource `scale`: the replicas of any object that has them, whatever its kind.

Lives here: finding it, reading and writing it.  Not here: how many replicas there should be (autoscaling).  The API
server is asked once per kind where its objects are.
"""

import msgspec

from kube.client import Client
from kube.errors import NotFound
from kube.objects import Kind, Object

SCALE = "scale"


class NoScale(Exception):
    """The server has no such kind, or one without replicas that could be changed."""


class ScaleSpec(msgspec.Struct, frozen=True):
    """The replicas that there should be."""

    replicas: int = 0  # 0 is left out of answers


class ScaleStatus(msgspec.Struct, frozen=True):
    """The pods that there are."""

    replicas: int = 0
    selector: str = ""  # as kubectl's


class Scale(Object, frozen=True):
    """A Scale of autoscaling/v1; `metadata` is the scaled object's."""

    spec: ScaleSpec = ScaleSpec()
    status: ScaleStatus = ScaleStatus()


class Scales:
    """The scales of one server.  Methods raise NoScale, and ApiError; NotFound where there is no such object."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kinds: dict[tuple[str, str], Kind[Scale]] = {}

    async def read(self, api_version: str, kind: str, name: str, namespace: str) -> Scale:
        """Return the scale of the object."""
        return await self._client.get(await self.kind(api_version, kind), name, namespace, SCALE)

    async def write(self, api_version: str, kind: str, name: str, namespace: str, replicas: int) -> None:
        """Give the object so many replicas."""
        fields = {"spec": {"replicas": replicas}}
        await self._client.merge(await self.kind(api_version, kind), name, namespace, fields, SCALE)

    async def kind(self, api_version: str, kind: str) -> Kind[Scale]:
        """Return where the objects of a kind are; its model is that of their scales."""
        if (api_version, kind) not in self._kinds:
            self._kinds[api_version, kind] = await self._find(api_version, kind)
        return self._kinds[api_version, kind]

    async def _find(self, api_version: str, kind: str) -> Kind[Scale]:
        group, _, version = api_version.rpartition("/")
        try:
            resources = await self._client.resources(group, version)
        except NotFound as error:
            raise NoScale(f"the server has no {api_version}, so no {kind}") from error
        plural = next((one.name for one in resources if one.kind == kind and "/" not in one.name), "")
        if not plural:
            raise NoScale(f"{api_version} has no kind {kind}")
        if f"{plural}/{SCALE}" not in {one.name for one in resources}:
            raise NoScale(f"{kind} of {api_version} has no subresource {SCALE}")
        return Kind(group, version, kind, plural, Scale)
