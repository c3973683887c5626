"""A pod bound to the node, from its first process to the end of its deletion.

Lives here: the order of its containers, its status, its end.  Not here: one container (container, probing), which pods
there are (node).
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Sequence
from random import Random

import httpx

from kube.backoff import Backoff
from kube.client import Client
from kube.errors import ApiError, Conflict, NotFound
from kube.objects import body
from kube.times import timestamp
from tests.support.kubernetes.node.container import Container
from tests.support.kubernetes.node.objects import PODS, Json
from tests.support.kubernetes.node.probing import before_end, probe
from tests.support.kubernetes.node.sandbox import Sandbox
from tests.support.kubernetes.node.volumes import Missing

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
RETRY = Backoff(first_s=0.2, cap_s=1.0)


class RunningPod:
    """One pod; `run` until it is over, `report` its status, and `end` it."""

    def __init__(self, sandbox: Sandbox, client: Client, http: httpx.AsyncClient, backoff_s: float) -> None:
        self.pod = sandbox.pod
        self.ip = sandbox.ip
        self._before = sandbox.pod.status.container_statuses
        self.inits: list[Container] = []
        self.mains: list[Container] = []
        self.is_ending = False
        self.running: asyncio.Task[None] | None = None
        self.gone = asyncio.Event()
        """Set when all its processes have ended and the server is to forget it."""
        self._sandbox = sandbox
        self._why = ""  # it cannot start yet
        self._client = client
        self._http = http
        self._backoff_s = backoff_s
        self._phase = ""
        self._conditions: dict[str, Json] = {}
        self._began = timestamp(time.time())
        self._changed = asyncio.Event()

    def change(self) -> None:
        """Have the status written again."""
        self._changed.set()

    async def run(self) -> None:
        """Run the init containers one after the other, then the others together."""
        self.change()
        policy, spec = self.pod.spec.restart_policy, self.pod.spec
        self.inits = await self._made(spec.init_containers)
        for container in self.inits:
            if await container.run("Never" if policy == "Never" else "OnFailure", self._backoff_s):
                self._phase = "Failed"
                return self.change()
        self.mains = await self._made(spec.containers)  # may need what an init container has made
        probes = [
            asyncio.create_task(probe(container, kind, self.ip, self._http), name=f"{kind} {self.pod.metadata.name}")
            for container in self.mains
            for kind in PROBES
            if kind in container.spec and not container.is_idle
        ]
        try:
            codes = await asyncio.gather(*(container.run(policy, self._backoff_s) for container in self.mains))
        finally:
            for task in probes:
                task.cancel()
        self._phase = "Failed" if any(codes) else "Succeeded"
        return self.change()

    async def _made(self, specs: Sequence[Json]) -> list[Container]:
        """Make containers; again and again while something is missing."""
        rng, failures = Random(self.ip), 0
        while True:
            try:
                await self._sandbox.open()
                made = [await self._sandbox.container(one, self.change) for one in specs]
                break
            except (Missing, ApiError, OSError) as error:
                self._why, failures = str(error), failures + 1
                self.change()
                await asyncio.sleep(RETRY.wait_s(failures, rng))
        for old in self._before:  # a restart of the node restarts the processes
            for container in made:
                if container.spec["name"] == old["name"] and "containerID" in old:
                    container.restarts = old["restartCount"] + 1
        return made

    async def report(self) -> None:
        """Write the status after each change, for ever; again and again while the server is away."""
        rng, failures = Random(self.ip), 0
        while True:
            await self._changed.wait()
            self._changed.clear()
            status = body(PODS, self.pod.metadata.name, self.pod.metadata.namespace, status=self.status())
            status["metadata"]["uid"] = self.pod.metadata.uid
            try:
                await self._client.apply(PODS, status, "status", force=True)
                failures = 0
            except (NotFound, Conflict):
                return  # it is gone, or another one has its name
            except ApiError:
                failures += 1
                self._changed.set()
                await asyncio.sleep(RETRY.wait_s(failures, rng))

    async def end(self, grace_s: float) -> None:
        """preStop, SIGTERM, SIGKILL after the grace period."""
        assert self.running is not None
        until_s = time.monotonic() + grace_s
        if self.mains:
            hooks = (before_end(one, self.ip, self._http, grace_s) for one in self.mains)
            await asyncio.gather(*hooks, return_exceptions=True)
        else:
            self.running.cancel()
        for container in self._all():
            container.end(signal.SIGTERM)
        await asyncio.wait((self.running,), timeout=max(0.01, until_s - time.monotonic()))
        for container in self._all():
            container.end(signal.SIGKILL)
        await asyncio.wait((self.running,), timeout=5)
        self.running.cancel()
        await self._sandbox.close()
        self.gone.set()

    async def forget(self) -> None:
        """Let the server forget the pod; again and again while it is away."""
        meta, rng, failures = self.pod.metadata, Random(self.ip), 0
        with contextlib.suppress(NotFound, Conflict):  # forgotten by others, or another one has its name
            while True:
                try:
                    return await self._client.delete(PODS, meta.name, meta.namespace, meta.uid, grace_s=0)
                except (NotFound, Conflict):
                    raise
                except ApiError:
                    failures += 1
                    await asyncio.sleep(RETRY.wait_s(failures, rng))

    def _all(self) -> Sequence[Container]:
        return (*self.inits, *self.mains)

    def status(self) -> Json:
        """The pod's status now."""
        mains, inits = ([one.status() for one in some] for some in (self.mains, self.inits))
        mains = mains or [self._not_made(one) for one in self.pod.spec.containers]
        for one in inits:
            one["ready"] = "terminated" in one["state"]
        begins = any("waiting" in one["state"] and not one["restartCount"] for one in mains)
        phase = self._phase or ("Pending" if begins else "Running")
        is_up = phase == "Running" and all(one["ready"] for one in mains)
        true = {one["type"] for one in self.pod.status.conditions if one["status"] == "True"}
        gates = {gate["conditionType"] for gate in self.pod.spec.readiness_gates}
        facts = {
            "PodReadyToStartContainers": True,
            "Initialized": all(one["ready"] for one in inits),
            "ContainersReady": is_up,
            "Ready": is_up and gates <= true,
        }
        return {
            "phase": phase,
            "hostIP": self._sandbox.machine.ip,
            "podIP": self.ip,
            "podIPs": [{"ip": self.ip}],
            "startTime": self._began,
            "conditions": [self._condition(kind, is_true) for kind, is_true in facts.items()],
            "containerStatuses": mains,
            "initContainerStatuses": inits,
        }

    def _condition(self, kind: str, is_true: bool) -> Json:
        value = "True" if is_true else "False"
        if self._conditions.get(kind, {}).get("status") != value:
            over = {"reason": "PodCompleted" if self._phase else "ContainersNotReady"}
            since = timestamp(time.time())
            made = {"type": kind, "status": value, "lastTransitionTime": since, **({} if is_true else over)}
            self._conditions[kind] = made
        return self._conditions[kind]

    def _not_made(self, spec: Json) -> Json:
        waiting = {"reason": "CreateContainerConfigError", "message": self._why} if self._why else {}
        state = {"waiting": {"reason": "ContainerCreating", **waiting}}
        return {
            "name": spec["name"], "image": spec["image"], "imageID": "", "state": state, "lastState": {},
            "restartCount": 0, "ready": False, "started": False,
        }  # fmt: skip
