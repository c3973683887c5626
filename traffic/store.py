"""Traces in Redis: the windows of all gateways, merged by model (docs/contracts.md, section 6).

A trace's key ends in the time when its window ends, because that is when AIBrix's gateways write it.  That time is
Redis's (`Connection.now_s`): gateways whose clocks differ write one key.

Lives here: keys, merging, reading.  Not here: the format (trace_json), counting (counts).
"""

import re
from importlib import resources
from math import floor

import msgspec
import structlog

from traffic.connection import Connection
from traffic.trace_json import CONSTANTS, WRITER, parse, render
from traffic.window import WINDOW_S, Window

log = structlog.get_logger("traffic")

KEPT_S = 600
"""Traces live so long after the last report."""
LATE_S = 2.0
"""A window is complete so long after its end: AIBrix's reader waits as long for reports."""
SCAN_PAGE = 1000
"""Keys that a list of models looks at in one step (chosen: well under a millisecond of Redis)."""
SCAN_TIMEOUTS = 20
"""A list of models may take so many times as long as an answer (chosen: ten million keys on loopback)."""

_MERGE = (resources.files("traffic") / "merge.lua").read_text()
_KEY = re.compile(r"aibrix:(.+)_request_trace_([0-9]+)", re.DOTALL)
"""A model may be called anything, `a_request_trace_1` too: the last part of a key is the time."""


def trace_key(model: str, ends_at_s: float) -> str:
    """Return the key of a model's window that ends at this Unix time."""
    return f"aibrix:{model}_request_trace_{round(ends_at_s)}"


class TraceStore:
    """The traces behind `connection`; `writer` is nobody else's name.  All methods may raise RedisAwayError."""

    def __init__(self, connection: Connection, writer: str = "") -> None:
        self._connection = connection
        self._writer = writer
        self._said: set[str] = set()  # reasons to skip a trace that were logged

    async def now_s(self) -> float:
        """Return the Unix time by the clock of windows."""
        return await self._connection.now_s()

    async def write(self, model: str, window: Window, number: int) -> None:
        """Add what this writer counted to the model's window.

        `number` grows with the reports of this writer to one window: a report that was merged is not merged again, so
        one of which nobody knows whether it arrived can be repeated.
        """
        key = trace_key(model, window.starts_at_s + window.duration_s)
        mark = f"{WRITER}{self._writer}"
        constants, counts = msgspec.json.encode(CONSTANTS), msgspec.json.encode(render(window))
        async with self._connection.calls() as redis:
            await redis.eval(_MERGE, 1, key, constants, counts, mark, number, KEPT_S)

    async def read(self, model: str, after_s: float | None = None) -> list[Window]:
        """Return the model's complete windows in the order of time: those that begin after `after_s`, or all.

        What is no trace is skipped, and said once for each reason.
        """
        last_s = floor((await self.now_s() - LATE_S) / WINDOW_S) * WINDOW_S
        first_s = last_s - KEPT_S if after_s is None else max(last_s - KEPT_S, after_s + WINDOW_S)
        ends_s = [end_s for n in range(round(KEPT_S / WINDOW_S)) if (end_s := last_s - n * WINDOW_S) > first_s][::-1]
        if not ends_s:
            return []
        async with self._connection.calls() as redis, redis.pipeline(transaction=False) as pipe:
            for end_s in ends_s:
                pipe.get(trace_key(model, end_s))
            stored = await pipe.execute(raise_on_error=False)
        read = [self._parsed(trace, end_s) for trace, end_s in zip(stored, ends_s, strict=True) if trace is not None]
        return [window for window in read if window is not None]

    async def models(self) -> set[str]:
        """Return the models of which there are traces.  Looks at every key of Redis: not for a hot path."""
        async with self._connection.calls(SCAN_TIMEOUTS) as redis:
            keys = [key async for key in redis.scan_iter(match="aibrix:*_request_trace_*", count=SCAN_PAGE)]
        found = (_KEY.fullmatch(key.decode(errors="replace")) for key in keys)
        return {match[1] for match in found if match}

    def _parsed(self, trace: bytes | Exception, ends_at_s: float) -> Window | None:
        try:
            if isinstance(trace, Exception):
                raise ValueError("the key holds no text") from trace
            return parse(trace, ends_at_s)
        except ValueError as error:
            if (why := str(error)) not in self._said:
                self._said.add(why)
                log.warning("trace_skipped", why=why, ends_at_s=ends_at_s)
            return None
