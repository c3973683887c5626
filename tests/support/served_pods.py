"""Pods that serve requests, for tests of autoscalers: seats, a service time that grows with them, and start-up times.

A request takes 4 + 0.5 b seconds where a pod computes b of them when it begins; 100 tokens are generated in it.
"""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from autoscaling.decision import Decision, Strategy
from autoscaling.observation import Arrivals, Latency, Observation, PodReading

TOKENS = 100
TICK_S = 5.0


class ServedPods:
    """A target that does what an autoscaler decides, `startup_s` later."""

    def __init__(self, replicas: int, seats: int = 16, startup_s: float = 60.0, slowness: float = 1.0) -> None:
        self.seats, self.startup_s, self.slowness = seats, startup_s, slowness
        self.now_s = 0.0
        self.ready = dict.fromkeys(range(replicas), 0)  # pod -> running requests
        self.starting: deque[float] = deque()
        self.queues: dict[int, deque[float]] = {pod: deque() for pod in self.ready}
        self.waits: list[tuple[float, float]] = []  # arrival and wait of each request that began
        self.pod_seconds = 0.0
        self._ends: list[tuple[float, int]] = []
        self._names = count(replicas)
        self._due, self._arrived, self._ended = 0.0, 0, 0

    def service_s(self, running: int) -> float:
        return self.slowness * (4 + 0.5 * running)

    def run(self, rate: Callable[[float], float]) -> None:
        """Let a tick pass, in steps of a tenth of a second."""
        for _ in range(round(TICK_S * 10)):
            self.now_s = round(self.now_s + 0.1, 1)
            while self.starting and self.starting[0] <= self.now_s:
                self.starting.popleft()
                name = next(self._names)
                self.ready[name], self.queues[name] = 0, deque()
            self._end()
            self._due += rate(self.now_s) / 10
            while self._due >= 1 and self.ready:
                self._due -= 1
                self._arrived += 1
                least = min(self.ready, key=lambda pod: self.ready[pod] + len(self.queues[pod]))
                self.queues[least].append(self.now_s)
            for pod in self.ready:
                self._begin(pod)
            self.pod_seconds += (len(self.ready) + len(self.starting)) / 10

    def _end(self) -> None:
        while self._ends and self._ends[0][0] <= self.now_s:
            _, pod = heappop(self._ends)
            self._ended += 1
            if pod in self.ready:
                self.ready[pod] -= 1

    def _begin(self, pod: int) -> None:
        while self.queues[pod] and self.ready[pod] < self.seats:
            arrived_s = self.queues[pod].popleft()
            self.waits.append((arrived_s, self.now_s - arrived_s))
            self.ready[pod] += 1
            heappush(self._ends, (self.now_s + self.service_s(self.ready[pod]), pod))

    def observe(self) -> Observation:
        """Return what a gateway and the engines would tell since the observation before."""
        pods = tuple(
            PodReading(str(pod), float(running), float(len(self.queues[pod])), running / 1000)
            for pod, running in self.ready.items()
        )
        mean = sum(self.ready.values()) / len(self.ready) if self.ready else 0.0
        itl_s = self.service_s(round(mean)) / TOKENS
        arrivals = Arrivals(self._arrived, TICK_S if self.now_s else 0.0, None, self._ended * TOKENS)
        latency = Latency(0.01, self._arrived, itl_s if mean else None, mean)
        self._arrived = self._ended = 0
        return Observation(self.now_s, len(self.ready), len(self.starting), 0, pods, arrivals=arrivals, latency=latency)

    def scale(self, replicas: int) -> None:
        """Order pods, or give up the newest; what one that is given up had is answered elsewhere."""
        while len(self.ready) + len(self.starting) < replicas:
            self.starting.append(self.now_s + self.startup_s)
        while len(self.ready) + len(self.starting) > replicas:
            if self.starting:
                self.starting.pop()
            else:
                pod = max(self.ready)
                del self.ready[pod]
                left = self.queues.pop(pod)
                self._due += len(left)

    def follow(self, strategy: Strategy, rate: Callable[[float], float], until_s: float) -> list[Decision]:
        """Do what `strategy` decides until then; return its decisions."""
        decisions = []
        while self.now_s < until_s:
            decisions.append(strategy.decide(self.observe()))
            self.scale(decisions[-1].desired)
            self.run(rate)
        return decisions

    def late(self, from_s: float, longest_s: float) -> float:
        """Return the share of the requests from then on that waited longer."""
        waits = [wait for arrived_s, wait in self.waits if arrived_s >= from_s]
        return sum(wait > longest_s for wait in waits) / len(waits)
