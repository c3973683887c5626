"""Injected faults: how an engine misbehaves on request of a test, and for which requests.

Lives here: the kinds and which request takes the next one.  Not here: carrying them out (endpoints, async_engine).
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class FaultKind(StrEnum):
    """The ways to misbehave."""

    ERROR = "error"
    """Answers 500."""
    NEVER_ANSWER = "never_answer"
    """Accepts the request and sends nothing, not even headers."""
    CLOSE_IDLE = "close_idle"
    """Closes the connection as the request arrives, as when an idle timeout races with the next request."""
    SLOW = "slow"
    """Delays the whole response, headers included, by `delay_s`."""
    DIE_MID_STREAM = "die_mid_stream"
    """Dies as vLLM does: an error event with code 500 and `[DONE]` under status 200; status 500 when not streaming."""
    CRASH = "crash"
    """Ends all requests of the engine as DIE_MID_STREAM does, closes every connection for `delay_s`, and starts again
    with an empty cache."""
    CUT = "cut"
    """Closes the connection in the middle of the response."""
    STALL = "stall"
    """Stops sending in the middle of the response and keeps the connection open."""
    UNHEALTHY = "unhealthy"
    """/health answers 503; requests are served."""


class Fault(BaseModel):
    """The body of POST /sim/fault."""

    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    after_tokens: int = Field(default=0, ge=0)
    """Tokens, of all choices together, sent before DIE_MID_STREAM, CRASH, CUT or STALL."""
    delay_s: float = Field(default=1.0, ge=0)
    """Seconds, for SLOW and CRASH."""
    times: int | None = Field(default=1, ge=1)
    """Number of requests that it applies to; null: every one until DELETE /sim/fault."""


class Faults:
    """The faults that are still to be applied, in order; each request takes at most one."""

    def __init__(self) -> None:
        self.pending: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Append `fault`."""
        self.pending.append(fault)

    def clear(self) -> None:
        """Remove all pending faults."""
        self.pending.clear()

    def take(self, *, health_check: bool = False) -> Fault | None:
        """Return the fault for this request and count down its `times`; None = there is none."""
        for fault in self.pending:
            if (fault.kind is FaultKind.UNHEALTHY) is health_check:
                self._use(fault)
                return fault
        return None

    def _use(self, fault: Fault) -> None:
        if fault.times is not None:
            fault.times -= 1
            if not fault.times:
                self.pending.remove(fault)
