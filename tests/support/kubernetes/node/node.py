"""A Kubernetes node without containers: each container of a pod is a local process.

Lives here: registering the node, its Lease, binding pods, addresses, starting and ending pods as the API server says.
Not here: one pod (running).  Run it with `python -m tests.support.kubernetes.node.node --help`.  The addresses must be
bindable: tests/kubernetes/enter.sh.  All processes die with the node.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Coroutine
from ipaddress import IPv4Network
from pathlib import Path
from random import Random
from typing import Any

import httpx
import structlog
import yaml

from kube.backoff import Backoff
from kube.client import Client, Selection, connection
from kube.election import LEASES
from kube.errors import ApiError, Conflict, NotFound
from kube.informer import Informer, Pace
from kube.objects import body
from kube.times import micro_timestamp, timestamp
from tests.support.kubernetes.node.network import GATEWAY
from tests.support.kubernetes.node.objects import BINDINGS, NODES, PODS, Json, Pod
from tests.support.kubernetes.node.running import RunningPod
from tests.support.kubernetes.node.sandbox import Machine, Sandbox
from tests.support.kubernetes.node.scheduling import Offer, misfit, waits

BEAT_S = 5.0
LEASE_NAMESPACE = "kube-node-lease"
PACE = Pace(backoff=Backoff(first_s=0.1, cap_s=1.0), resync_s=5.0, gather_s=0.0)
VERSION = "v1.36.3"

log = structlog.get_logger(__name__)


class Node:
    """One node; `run` it."""

    def __init__(
        self, client: Client, http: httpx.AsyncClient, offer: Offer, machine: Machine, pods: IPv4Network,
        *, backoff_s: float,
    ) -> None:  # fmt: skip
        self._client = client
        self._http = http
        self._offer = offer
        self._machine = machine
        self._hosts = pods
        self._turn = 0
        self._backoff_s = backoff_s
        self._began = timestamp(time.time())
        self._informer = Informer(client, PODS, Selection(), Random(offer.name), PACE)
        self._running: dict[str, RunningPod] = {}  # by uid
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Be a node, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._beat(), name="beat")
            tasks.create_task(self._informer.run(), name="pods")
            async for _ in self._informer.changes():
                self._follow()
                await self._bind()

    def kill(self) -> None:
        """End all processes at once."""
        for pod in self._running.values():
            for container in (*pod.inits, *pod.mains):
                container.end(signal.SIGKILL)

    def _follow(self) -> None:
        """Start, change and end pods, so that those run that the server has bound to this node."""
        bound = [pod for pod in self._informer.objects.values() if pod.spec.node_name == self._offer.name]
        for uid in self._running.keys() - {pod.metadata.uid for pod in bound}:
            self._end(self._running[uid], 0)  # deleted by force
        for pod in bound:
            running = self._running.get(pod.metadata.uid)
            is_leaving = pod.metadata.deletion_timestamp is not None
            if running is None and not (pod.is_over and not is_leaving):
                running = self._start(pod)
            if running is not None:
                running.pod = pod
                if is_leaving:
                    self._end(running, pod.metadata.deletion_grace_period_seconds or 0)

    def _start(self, pod: Pod) -> RunningPod:
        ip = pod.status.ip or self._free_address()
        sandbox = Sandbox(self._client, pod, ip, self._machine)
        running = RunningPod(sandbox, self._client, self._http, self._backoff_s)
        self._running[pod.metadata.uid] = running
        running.running = asyncio.create_task(running.run(), name=f"run {pod.metadata.name}")
        self._spawn(self._report(running), f"report {pod.metadata.name}")
        return running

    async def _report(self, running: RunningPod) -> None:
        """Report on the pod until it is gone, then have the server forget it."""
        reports = asyncio.create_task(running.report(), name=f"status {running.pod.metadata.name}")
        await running.gone.wait()
        reports.cancel()
        await running.forget()
        self._running.pop(running.pod.metadata.uid, None)

    def _end(self, running: RunningPod, grace_s: float) -> None:
        if not running.is_ending:
            running.is_ending = True
            self._spawn(running.end(grace_s), f"end {running.pod.metadata.name}")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _free_address(self) -> str:
        """The next address that no pod has: one that was used comes as late as possible."""
        used = {pod.status.ip for pod in self._informer.objects.values()} | {one.ip for one in self._running.values()}
        while True:
            self._turn = self._turn % (self._hosts.num_addresses - 2) + 1
            if (ip := str(self._hosts[self._turn])) not in used:
                return ip

    async def _bind(self) -> None:
        """Bind what fits, oldest first; say once why the rest waits.  Of several nodes the server lets one win."""
        pods = list(self._informer.objects.values())
        waiting = [pod for pod in pods if waits(pod)]
        for pod in sorted(waiting, key=lambda one: one.metadata.creation_timestamp or ""):
            why = misfit(pod, self._offer, pods)
            try:
                if not why:
                    pods.append(await self._bind_here(pod))
                elif not any(one["type"] == "PodScheduled" for one in pod.status.conditions):
                    await self._client.apply(PODS, _unschedulable(pod, why), "status", force=True)
            except (NotFound, Conflict):
                continue
            except ApiError as error:
                log.warning("not_bound", pod=pod.metadata.key, why=str(error))

    async def _bind_here(self, pod: Pod) -> Pod:
        meta, target = pod.metadata, {"apiVersion": "v1", "kind": "Node", "name": self._offer.name}
        with contextlib.suppress(Conflict):  # somebody has bound it, which the informer has yet to tell
            await self._client.create(BINDINGS, body(BINDINGS, meta.name, meta.namespace, target=target))
        return Pod(pod.metadata, type(pod.spec)(pod.spec.containers, node_name=self._offer.name))

    async def _beat(self) -> None:
        """Say that the node is there: its status for people and controllers, its Lease for the node controller."""
        while True:
            try:
                await self._register()
            except ApiError as error:
                log.warning("no_beat", why=str(error))
            await asyncio.sleep(BEAT_S)

    async def _register(self) -> None:
        name, labels = self._offer.name, dict(self._offer.labels)
        await self._client.apply(NODES, body(NODES, name, metadata={"labels": labels}, spec={}), force=True)
        await self._client.apply(NODES, body(NODES, name, status=self._status()), "status", force=True)
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micro_timestamp(time.time())}
        try:
            await self._client.merge(LEASES, name, LEASE_NAMESPACE, {"spec": spec})
        except NotFound:
            await self._client.create(LEASES, body(LEASES, name, LEASE_NAMESPACE, spec=spec))

    def _status(self) -> Json:
        now = timestamp(time.time())
        ready = {"type": "Ready", "status": "True", "reason": "ProcessNode", "message": "processes can run"}
        return {
            "capacity": dict(self._offer.capacity),
            "allocatable": dict(self._offer.capacity),
            "conditions": [{**ready, "lastHeartbeatTime": now, "lastTransitionTime": self._began}],
            "addresses": [
                {"type": "InternalIP", "address": self._machine.ip},
                {"type": "Hostname", "address": self._offer.name},
            ],
            "nodeInfo": {
                "kubeletVersion": VERSION, "osImage": "process", "containerRuntimeVersion": "process://1",
                "kernelVersion": os.uname().release, "architecture": "amd64", "operatingSystem": "linux",
                "machineID": "", "systemUUID": "", "bootID": "", "kubeProxyVersion": "",
            },
        }  # fmt: skip


def _unschedulable(pod: Pod, why: str) -> Json:
    since = timestamp(time.time())
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
    conditions = [{**said, "lastTransitionTime": since}]
    return body(PODS, pod.metadata.name, pod.metadata.namespace, status={"conditions": conditions})


def _pairs(texts: list[str]) -> dict[str, str]:
    return dict(text.split("=", 1) for text in texts)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--name", default="node-a")
    parser.add_argument("--ip", default=GATEWAY)
    parser.add_argument("--pods", type=IPv4Network, default=IPv4Network("10.244.1.0/24"), help="addresses of its pods")
    parser.add_argument("--label", action="append", default=[], help="NAME=VALUE")
    parser.add_argument("--capacity", action="append", default=[], help="e.g. nvidia.com/gpu=4")
    parser.add_argument("--programs", type=Path, help="YAML: beginning of a command or image -> command, or null")
    parser.add_argument("--binaries", type=Path, default=Path("/usr/bin"), help="first in the PATH of containers")
    parser.add_argument("--state", type=Path, default=Path(), help="for logs and volumes")
    parser.add_argument("--backoff", type=float, default=0.5, help="first wait before a restart, in seconds")
    return parser.parse_args()


async def main(options: argparse.Namespace) -> None:
    labels = {"kubernetes.io/hostname": options.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    capacity = {"cpu": "64", "memory": "256Gi", "pods": "1000", **_pairs(options.capacity)}
    offer = Offer(options.name, labels | _pairs(options.label), capacity)
    programs = yaml.safe_load(options.programs.read_text()) if options.programs else {}
    limits = httpx.Limits(max_keepalive_connections=0)
    async with (
        Client(connection(options.kubeconfig), options.name) as client,
        httpx.AsyncClient(limits=limits, trust_env=False, verify=False) as http,  # noqa: S501 - as a kubelet does
    ):
        machine = Machine(options.name, options.ip, programs, options.binaries, options.state.resolve())
        node = Node(client, http, offer, machine, options.pods, backoff_s=options.backoff)
        running = asyncio.ensure_future(node.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        try:
            await asyncio.wait((running,))
        finally:
            node.kill()
        if not running.cancelled():
            running.result()


if __name__ == "__main__":
    asyncio.run(main(arguments()))
