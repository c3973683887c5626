"""Conversations written by hand, most about ConfigMaps, for what a real server does seldom or never."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lightkube.config.kubeconfig import KubeConfig

from kube.client import Client, Timeouts
from tests.support.kubernetes.conversation import Answer, Double, Exchange, Request, answer, served

PATH = "/api/v1/configmaps"


def an_item(name: str, version: int, **data: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "n", "resourceVersion": str(version)}, "data": data}


def a_set(
    path: str, *items: dict[str, Any], version: int = 10, labels: str = "", then: Answer | None = None
) -> list[Exchange]:
    """The list of a kind, and a watch that tells nothing, or `then`; `labels` is the selector, quoted."""
    selector = f"labelSelector={labels}&" if labels else ""
    listed = answer(json.dumps({"metadata": {"resourceVersion": str(version)}, "items": items}))
    watch = f"{path}?{selector}watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds=300"
    return [
        (Request("GET", f"{path}?{selector}limit=500"), listed),
        (Request("GET", watch), then or answer(is_open=True)),
    ]


def a_list(version: int, *items: dict[str, Any]) -> Exchange:
    """All ConfigMaps."""
    return a_set(PATH, *items, version=version)[0]


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
    return a_set(PATH, version=version)[1][0]


def a_kubeconfig(folder: Path, url: str) -> Path:
    """The way to a server without authentication."""
    file = folder / "kubeconfig"
    cluster, context = {"name": "k", "cluster": {"server": url}}, {"name": "c", "context": {"cluster": "k"}}
    file.write_text(json.dumps({"current-context": "c", "clusters": [cluster], "users": [], "contexts": [context]}))
    return file


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
