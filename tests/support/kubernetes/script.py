"""Conversations about ConfigMaps written by hand, for what a real server does seldom or never."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from lightkube.config.kubeconfig import KubeConfig

from kube.client import Client, Timeouts
from tests.support.kubernetes.conversation import Double, Exchange, Request, answer, served

PATH = "/api/v1/configmaps"


def an_item(name: str, version: int, **data: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "n", "resourceVersion": str(version)}, "data": data}


def a_list(version: int, *items: dict[str, Any]) -> Exchange:
    """All ConfigMaps."""
    listed = {"kind": "ConfigMapList", "metadata": {"resourceVersion": str(version)}, "items": items}
    return Request("GET", f"{PATH}?limit=500"), answer(json.dumps(listed))


def a_line(kind: str, item: dict[str, Any]) -> str:
    """A line of a watch."""
    return json.dumps({"type": kind, "object": item}, ensure_ascii=False) + "\n"


def a_bookmark(version: int) -> str:
    return a_line("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


def an_error(status: int, reason: str) -> str:
    return a_line("ERROR", {"kind": "Status", "code": status, "reason": reason, "message": reason})


def a_watch(version: int, *lines: str, is_open: bool = True) -> Exchange:
    """A watch that tells these lines; it goes on, or (not `is_open`) the server ends it."""
    return watch_request(version), answer(*lines, is_open=is_open)


def watch_request(version: int) -> Request:
    target = f"{PATH}?watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds=300"
    return Request("GET", target)


@asynccontextmanager
async def talking(
    exchanges: Iterable[Exchange], timeouts: Timeouts | None = None
) -> AsyncIterator[tuple[Client, Double]]:
    """A client and the double that it talks to."""
    double = Double(exchanges)
    async with served(double) as url:
        config = KubeConfig.from_server(url).get()
        assert config is not None
        async with Client(config, "forebay-test", timeouts) as client:
            yield client, double
