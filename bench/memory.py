"""Memory of what is remembered about prompts: an index of ten million blocks, and an hour of unique prompts.

Lives here: the measurement.  Not here: tables (report).
`python -m bench.memory PART` measures in its own process, whose heap holds nothing else.
"""

import json
import random
import resource
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bench.picking import a_fleet
from bench.processes import python_module
from gateway.accounting.calibration import Calibration
from gateway.accounting.estimates import ONE_ANSWER, Estimator, PromptSize
from gateway.accounting.ledger import Ledger, OpenRequest
from gateway.accounting.outcomes import ObservedEnd
from gateway.accounting.settlement import Estimate
from gateway.config.limits import LimitSettings
from gateway.observability.metrics import Metrics
from gateway.openai.usage import TokenUsage
from ratelimit.memory import MemoryLimiter
from routing.prefix.blocks import BLOCK_BYTES, FIRST_BYTES, block_hashes
from routing.prefix.index import PrefixIndex
from routing.table import STRATEGIES
from routing.types import RouteRequest
from traffic.counts import Counts

INDEXED_BLOCKS = 10_000_000
"""Blocks in the index that is measured."""
BLOCKS_PER_PROMPT = 100
CACHES = 100
"""Pods over which the blocks of the index are spread."""
_MASK = (1 << 60) - 1
"""The mask of routing.prefix.blocks, since larger integers take more memory."""

PODS = 8
RATE = 20
"""Requests per second."""
USERS = 1000
PROMPT_BLOCKS = 32
"""Blocks per prompt: within a minute every user has sent one, and the pods' caches are full five times over."""
OPEN = 50
"""Requests in flight."""
MINUTE, HOUR = 60 * RATE, 3600 * RATE
"""Requests in that time."""


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """Memory in bytes."""

    index: int
    """The growth of a process by an index of INDEXED_BLOCKS."""
    minute: int
    """The process after a minute of unique prompts."""
    hour: int
    """The process after an hour of unique prompts."""

    @property
    def bytes_per_block(self) -> float:
        """Return the bytes that a block takes in the index."""
        return self.index / INDEXED_BLOCKS

    @property
    def growth(self) -> float:
        """Return the ratio of the hour to the minute; 1 = no growth."""
        return self.hour / self.minute


def measure_memory(progress: Callable[[str], None]) -> MemoryFigures:
    """Measure; takes some 30 s."""
    figures: list[int] = []
    for part in PARTS:
        progress(f"memory: {part}")
        done = subprocess.run(python_module("bench.memory", part), check=True, capture_output=True)
        figures += json.loads(done.stdout)
    return MemoryFigures(*figures)


def fill_index(blocks: int) -> list[int]:
    """Return the bytes by which an index of so many blocks grows the process."""
    index = PrefixIndex()
    caches = [index.join(blocks // CACHES) for _ in range(CACHES)]
    before = resident()
    for number in range(blocks // BLOCKS_PER_PROMPT):
        prompt = [hash((number, at)) & _MASK for at in range(BLOCKS_PER_PROMPT)]
        caches[number % CACHES].insert(prompt, 0, 0.0)
    return [resident() - before]


def serve_unique_prompts(requests: tuple[int, ...]) -> list[int]:
    """Return the bytes of the process after each of these numbers of requests."""
    gateway, sizes = _Gateway(), []
    for number in range(max(requests)):
        gateway.serve(number)
        if number + 1 in requests:
            sizes.append(resident())
    return sizes


class _Gateway:
    """Everything in the gateway that remembers prompts, on a virtual clock."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._fleet = a_fleet(PODS, shadow="vtc-basic")
        limiter = MemoryLimiter(lambda _user: None, self._clock)
        self._ledger = Ledger(
            self._fleet,
            limiter,
            Metrics(STRATEGIES),
            1.0,
            self._clock,
            calibration=Calibration(lambda: 1),
            traffic=Counts(),
            pools=self._fleet.pools,
        )
        self._estimator = Estimator(LimitSettings())
        self._rng = random.Random(1)
        self._open: deque[str] = deque()

    def _clock(self) -> float:
        return self._now_s

    def serve(self, number: int) -> None:
        """Admit a request, and end the oldest one when more than OPEN are in flight."""
        self._now_s = number / RATE
        prompt = self._rng.randbytes(FIRST_BYTES + (PROMPT_BLOCKS - 1) * BLOCK_BYTES)
        size, tokens = PromptSize(len(prompt), 0), len(prompt) // 4
        user, blocks = f"user {number % USERS}", block_hashes(0, prompt, "m")
        outputs = self._estimator.output_tokens(ONE_ANSWER, user)
        request = RouteRequest("m", user, tokens, outputs, blocks=blocks, block_tokens=BLOCK_BYTES / 4)
        ticket = self._fleet.route(request, "forebay", self._now_s)
        estimate = Estimate(tokens, request.output_tokens, streams=True)
        self._ledger.open(OpenRequest(str(number), ticket, size, estimate, self._estimator))
        self._open.append(str(number))
        if len(self._open) > OPEN:
            done = self._open.popleft()
            self._ledger.stream_closed(done)
            self._ledger.ended(done, ObservedEnd(status=200, usage=TokenUsage(tokens, 100), duration_s=OPEN / RATE))


def resident() -> int:
    """Return the bytes of memory of this process."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a path object would be made for one line
        return int(file.read().split()[1]) * resource.getpagesize()


PARTS = {"index": lambda: fill_index(INDEXED_BLOCKS), "hour": lambda: serve_unique_prompts((MINUTE, HOUR))}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(PARTS[sys.argv[1]]()))
