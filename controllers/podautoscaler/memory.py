"""The memory of strategies over restarts and changes of leader: a ConfigMap per autoscaler.

Lives here: reading and writing it.  Not here: what strategies remember (autoscaling), when it is written (scaler).  The
ConfigMaps are in the controllers' own namespace, so that this account may write no others; each has its autoscaler's
uid as its name, so that a later autoscaler of the same name does not find it.
"""

from collections.abc import Mapping, Set
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from controllers.owned import LABELS
from kube.client import Client, Selection
from kube.errors import NotFound
from kube.objects import Kind, Metadata, Object, body

PREFIX = "podautoscaler-"
LABEL = {"forebay.io/remembers": "podautoscaler"}
STATE = "state.json"
LONGEST = 900_000
"""Bytes of a state that are kept; the API takes a mebibyte with everything."""

log = structlog.get_logger(__name__)


class ConfigMap(Object, frozen=True):
    """A ConfigMap."""

    data: dict[str, str] = msgspec.field(default_factory=dict)


CONFIG_MAPS = Kind("", "v1", "ConfigMap", "configmaps", ConfigMap)


class Memory:
    """The states that are kept in one namespace.  Methods raise ApiError."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def recall(self, autoscaler: Metadata) -> dict[str, Any] | None:
        """Return the state that was kept last; None where there is none, or what there is makes no sense."""
        try:
            found = await self._client.get(CONFIG_MAPS, _name(autoscaler.uid), self._namespace)
            return msgspec.json.decode(found.data.get(STATE, ""), type=dict[str, Any])
        except (NotFound, msgspec.MsgspecError):
            return None

    async def keep(self, autoscaler: Metadata, state: Mapping[str, Any]) -> None:
        """Keep the state instead of the one before; not where it is too long, so that an older one stays."""
        text = msgspec.json.encode(state).decode()
        if len(text.encode()) > LONGEST:
            log.warning("autoscaler_state_too_long", key=autoscaler.key, length=len(text))
            return
        data = {STATE: text, "autoscaler": autoscaler.key}
        labels = {"labels": LABELS | LABEL}
        made = body(CONFIG_MAPS, _name(autoscaler.uid), self._namespace, metadata=labels, data=data)
        await self._client.apply(CONFIG_MAPS, made, force=True)

    async def forget_others(self, uids: Set[str]) -> None:
        """Delete the states of autoscalers other than these."""
        label = ",".join(f"{key}={value}" for key, value in LABEL.items())
        found, _ = await self._client.list(CONFIG_MAPS, Selection(self._namespace, label))
        for one in found:
            if one.metadata.name.removeprefix(PREFIX) not in uids:
                with suppress(NotFound):
                    await self._client.delete(CONFIG_MAPS, one.metadata.name, self._namespace, one.metadata.uid)


def _name(uid: str) -> str:
    return PREFIX + uid
