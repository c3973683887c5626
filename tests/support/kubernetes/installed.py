"""Forebay in a cluster, installed as its users install it: `kubectl apply -k` of an overlay; and its users' calls.

Lives here: waiting until it is up, where its addresses are, requests.  Not here: the cluster (cluster), what must come
of a request (tests).
"""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.kubernetes.article import MODEL, chat, deployment, manifest, service
from tests.support.kubernetes.cluster import PATIENCE, Cluster
from tests.support.kubernetes.node.network import GATEWAY
from tests.support.manifests import OVERLAYS
from tests.support.waiting import until

NAMESPACE = "aibrix-system"
PROXIES = "envoy-gateway-system"
ADMIN = f"http://{GATEWAY}:32004"
"""The admin REST, on the node port that the article names."""
DEPLOYMENTS = tuple(
    f"aibrix-{role}" for role in ("redis-master", "gateway-plugins", "controller-manager", "gpu-optimizer")
)
GATEWAYS = "app.kubernetes.io/name=aibrix-gateway-plugins"
CONTROLLERS = "app.kubernetes.io/name=aibrix-controller-manager"
OWNED = "gateway.envoyproxy.io/owning-gateway-name=aibrix-eg"
DONE = "data: [DONE]"
CHAT = "/v1/chat/completions"
DEADLINE_S, PAUSE_S = 60.0, 0.05
"""Controllers and Envoy follow in their own time."""


@dataclass
class Answers:
    """The requests of a crowd of clients."""

    count: int = 0
    pods: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    """Answers other than 200: status, headers and body, or the error."""

    def take(self, answer: httpx.Response | httpx.HTTPError) -> None:
        """Count one request; a stream has to come to its end."""
        self.count += 1
        if isinstance(answer, httpx.HTTPError):
            self.lost.append(repr(answer))
        elif answer.status_code != 200 or (answer.text.startswith("data:") and DONE not in answer.text):
            self.lost.append(f"{answer.status_code} {dict(answer.headers)} {answer.text}")
        else:
            self.pods[answer.headers.get("target-pod", "")] += 1


class Forebay:
    """An installation."""

    eventually = staticmethod(partial(until, limit_s=DEADLINE_S, every_s=PAUSE_S))

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.kubectl = cluster.kubectl

    def install(self, overlay: str | Path) -> None:
        """Apply an overlay and return when all of it is up and Envoy is configured."""
        self.kubectl("apply", "-k", OVERLAYS / overlay)
        for name in DEPLOYMENTS:
            self.rolled_out(name)
        self.kubectl("wait", "gateway/aibrix-eg", "-n", NAMESPACE, "--for=condition=Programmed", PATIENCE)

    def rolled_out(self, deployment: str, namespace: str = NAMESPACE) -> None:
        """Return when all pods of the Deployment are of its newest version and ready."""
        self.kubectl("rollout", "status", f"deployment/{deployment}", "-n", namespace, PATIENCE)

    def leader(self) -> str:
        """Return who of the controllers leads, by the name that it chose."""
        lease = json.loads(self.kubectl("get", "lease", "aibrix-controller-manager", "-n", NAMESPACE, "-o", "json"))
        return str(lease["spec"]["holderIdentity"])

    def kill_leader(self) -> str:
        """Kill the controllers that lead, without a chance to give that up; return who they were."""
        first = self.leader()
        [pod] = [name for name in self.pods(CONTROLLERS, NAMESPACE) if name in first]
        query = "jsonpath={.status.containerStatuses[0].containerID}"
        process = self.kubectl("get", "pod", pod, "-n", NAMESPACE, "-o", query)
        os.kill(int(process.removeprefix("process://")), signal.SIGKILL)
        self.kubectl("delete", "pod", pod, "-n", NAMESPACE, "--grace-period=0", "--force")
        return first

    def apply(self, *objects: dict[str, Any]) -> None:
        """`kubectl apply -f -` of the objects."""
        self.kubectl("apply", "-f", "-", given=manifest(*objects))

    def at_most(self, autoscaler: str, replicas: int) -> None:
        """Bound the replicas of an autoscaler's target: each is processes of this machine."""
        self.kubectl(
            "patch", "podautoscaler", autoscaler, "--type=merge", "-p", f'{{"spec":{{"maxReplicas":{replicas}}}}}'
        )

    def replicas(self, deployment: str) -> int:
        """Return how many replicas a Deployment should have."""
        return int(self.kubectl("get", "deployment", deployment, "-o", "jsonpath={.spec.replicas}"))

    def serve(self, *models: str) -> None:
        """Apply the article's objects for models and return when all are answered for."""
        self.apply(*(made(model) for model in models for made in (deployment, service)))
        for model in models:
            self.answers(200, model)

    def remove(self, *models: str) -> None:
        """Delete the Deployments and Services of models."""
        self.kubectl("delete", "deployment,service", "-l", f"model.aibrix.ai/name in ({','.join(models)})")

    def pods(self, labels: str, namespace: str = "default") -> list[str]:
        """Return the names of pods."""
        found = self.kubectl("get", "pods", "-n", namespace, "-l", labels, "-o", "name")
        return [line.removeprefix("pod/") for line in found.split()]

    @cached_property
    def url(self) -> str:
        """The address for users: the node port of Envoy's Service."""
        query = ("get", "service", "-n", PROXIES, "-l", OWNED, "-o", "jsonpath={.items[0].spec.ports[0].nodePort}")
        return f"http://{GATEWAY}:{self.kubectl(*query)}"

    def admin(self, call: str, **fields: Any) -> httpx.Response:
        """Make a call of the admin REST as the article prints it."""
        return httpx.post(f"{ADMIN}/{call}", json=fields, trust_env=False, timeout=30)

    def ask(self, user: str = "", body: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        """Send a chat request and return the answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()} | ({"user": user} if user else {})
        return httpx.post(f"{self.url}{CHAT}", json=body or chat(), headers=named, trust_env=False, timeout=60)

    def usage(self, user: str) -> dict[str, Any]:
        """Return what a user has used in this minute."""
        return dict(httpx.get(f"{ADMIN}/users/{user}/usage", trust_env=False, timeout=30).json())

    def answers(self, status: int, model: str = MODEL, **headers: str) -> httpx.Response:
        """Ask until the model is answered for with that status; with 200 by every gateway, whichever Envoy asks next.

        Each gateway checks an engine in its own time: one may send to it a second before another does.
        """
        if status == 200:
            self.eventually(lambda: self._is_ready_everywhere(model))
        until_s = time.monotonic() + DEADLINE_S
        while (answer := self.ask(body=chat(model, max_tokens=2), **headers)).status_code != status:
            assert time.monotonic() < until_s, (answer.status_code, answer.text)
            time.sleep(PAUSE_S)
        return answer

    def _is_ready_everywhere(self, model: str) -> bool:
        """Whether every gateway has a pod of the model that it would send to; also False while one does not answer."""
        ready = {"model": model, "state": "ready"}
        addresses = self._gateways()
        return bool(addresses) and all(address and _figure(address, "endpoints", ready) for address in addresses)

    def waiting(self, model: str) -> float:
        """Return how many requests for a model wait in gateways."""
        return sum(_figure(address, "requests_waiting", {"model": model}) for address in self._gateways() if address)

    def _gateways(self) -> list[str | None]:
        """Return the addresses of all gateways; None for one that has none yet."""
        found = json.loads(self.kubectl("get", "pods", "-n", NAMESPACE, "-l", GATEWAYS, "-o", "json"))["items"]
        return [pod["status"].get("podIP") for pod in found if "deletionTimestamp" not in pod["metadata"]]

    @asynccontextmanager
    async def load(self, model: str = MODEL, clients: int = 4) -> AsyncIterator[Answers]:
        """Have clients ask, each on its own connection and every other one for streams, for the length of a block."""
        answers, is_over = Answers(), asyncio.Event()

        async def client(number: int) -> None:
            body = chat(model, max_tokens=8, stream=bool(number % 2))
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:
                while not is_over.is_set():
                    try:
                        answers.take(await http.post(CHAT, json=body))
                    except httpx.HTTPError as error:
                        answers.take(error)
                    await asyncio.sleep(PAUSE_S)

        url = self.url
        tasks = [asyncio.create_task(client(number)) for number in range(clients)]
        try:
            yield answers
        finally:
            is_over.set()
            await asyncio.gather(*tasks)


def _figure(gateway: str, name: str, labels: dict[str, str]) -> float:
    """Return a figure of the gateway at this address, as its page for Prometheus says; 0 while it does not answer."""
    try:
        page = httpx.get(f"http://{gateway}:8080/metrics", trust_env=False, timeout=30).text
    except httpx.HTTPError:
        return 0
    samples = (one for family in text_string_to_metric_families(page) for one in family.samples)
    return sum(one.value for one in samples if one.name == f"forebay_{name}" and one.labels == labels)
