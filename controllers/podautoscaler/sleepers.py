"""Replicas that sleep: the runtimes beside engines say which do, put more to sleep, and wake them.

A replica is first asked to drain, which its `/ready` tells Kubernetes, and so Services and gateways.  It sleeps when it
has not been ready for two looks and has no request left.  Nothing is remembered here that runtimes do not say
themselves, but which pods refused; a pod that rested goes on resting while its runtime does not answer.

Lives here: calls to runtimes, and which pods are chosen.  Not here: how many (autoscaling.sleeping).
"""

import asyncio
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

import httpx2
import structlog

from autoscaling.sleeping import Moves
from controllers.podautoscaler.observing import ScaledPod

log = structlog.get_logger(__name__)

ANSWER_S = 2.0
"""Time limit of an answer about a phase (as for pages of metrics)."""
CHANGE_S = 60.0
"""Time limit of a sleep and a wake (chosen: some hundred gigabytes between a GPU and its host)."""
PATH = "/v1/runtime/models"
RESTING = frozenset({"draining", "sleeping"})


class Sleepers:
    """The pods of one target."""

    def __init__(self) -> None:
        self._refused: set[str] = set()  # names of pods that cannot sleep
        self._unready: set[str] = set()  # names of those that were not ready at the last look
        self._phases: dict[str, str] = {}  # by name of the pod, as its runtime said it last

    async def resting(self, pods: Iterable[ScaledPod]) -> frozenset[str]:
        """Return the names of the pods that sleep or drain."""
        able = [pod for pod in pods if pod.ip and pod.runtime_port]
        phases = zip(able, await asyncio.gather(*map(_phase, able)), strict=True)
        rested = {name: phase for name, phase in self._phases.items() if phase in RESTING}
        self._phases = {pod.name: phase or rested.get(pod.name, "") for pod, phase in phases}
        return frozenset(name for name, phase in self._phases.items() if phase in RESTING)

    async def obey(self, moves: Moves, awake: Sequence[ScaledPod], resting: Sequence[ScaledPod], spare: int) -> int:
        """Wake pods, and let others drain and sleep; return how many have to end because they cannot sleep.

        At most `spare` of those that are ready drain, so that none is missed while others start; those that have
        started are waited for.  Of those that rest, the draining ones are woken first: they are back at once.
        """
        draining = [pod for pod in resting if self._phases.get(pod.name) == "draining"]
        order = draining + [pod for pod in resting if pod not in draining]
        await asyncio.gather(*(_call(pod, "wake", {}) for pod in order[: moves.wake]))
        await asyncio.gather(*map(self._send_to_sleep, draining[moves.wake :]))
        self._unready = {pod.name for pod in order[moves.wake :] if not pod.is_ready}
        able = [pod for pod in awake if pod.is_ready and pod.runtime_port and pod.name not in self._refused]
        youngest = sorted(able, key=lambda pod: pod.started_s or 0.0, reverse=True)[: min(moves.sleep, spare)]
        await asyncio.gather(*map(self._requests, youngest))
        started = [pod for pod in awake if not pod.is_ready and self._phases.get(pod.name) == "active"]
        return max(0, moves.sleep - len(youngest) - len(started))

    async def _send_to_sleep(self, pod: ScaledPod) -> None:
        """Put a draining pod to sleep once nobody sends it requests and it has none; one that refuses goes on."""
        if pod.is_ready or pod.name not in self._unready or await self._requests(pod) != 0:
            return
        if await _call(pod, "sleep", {"level": 1, "drain_s": 0}) is None:
            await self._give_up(pod)

    async def _requests(self, pod: ScaledPod) -> int | None:
        """Have a pod drain; return how many requests it has left, None where it does not say and goes on."""
        answer = await _call(pod, "drain", {"timeout_s": 0})
        if answer is None:
            await self._give_up(pod)
        return None if answer is None else answer.get("requests")

    async def _give_up(self, pod: ScaledPod) -> None:
        self._refused.add(pod.name)
        await _call(pod, "wake", {})


async def _phase(pod: ScaledPod) -> str:
    """Return the phase of a pod; empty where its runtime does not say."""
    answer = await _ask(pod, "GET", "", None, ANSWER_S)
    models = (answer or {}).get("models") or [{}]
    return str(models[0].get("phase", "")) if isinstance(models[0], dict) else ""


async def _call(pod: ScaledPod, what: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """Have a runtime do something; return its answer, None where it did not."""
    answer = await _ask(pod, "POST", f"/{what}", body, CHANGE_S)
    if answer is None:
        log.warning("replica_refused", pod=pod.name, asked=what)
    return answer


async def _ask(
    pod: ScaledPod, method: str, path: str, body: dict[str, Any] | None, limit_s: float
) -> dict[str, Any] | None:
    host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
    try:
        async with (
            asyncio.timeout(limit_s),
            httpx2.AsyncClient(trust_env=False, timeout=None, verify=False) as client,
        ):
            answer = await client.request(method, f"http://{host}:{pod.runtime_port}{PATH}{path}", json=body)
        found = answer.json() if answer.status_code == HTTPStatus.OK else None
    except (httpx2.HTTPError, OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
