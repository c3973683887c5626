"""Faults on demand: what a test tells an engine to do wrong, and for which requests.

Lives here: the kinds and who gets the next one.  Not here: how each is done (http).
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class FaultKind(StrEnum):
    """What goes wrong."""

    ERROR = "error"
    """Answers 500."""
    NEVER_ANSWER = "never_answer"
    """Takes the request and sends nothing, not even headers."""
    CLOSE_IDLE = "close_idle"
    """Closes the connection as the request arrives, as an idle timeout does that meets the next request."""
    SLOW = "slow"
    """Answers, `delay_s` late, headers included."""
    DIE_MID_STREAM = "die_mid_stream"
    """vLLM's way to die: an error event with code 500 and `[DONE]` under status 200; 500 when not streaming."""
    CRASH = "crash"
    """The whole engine dies in this way, under all its requests, and starts again `delay_s` later with an empty cache;
    until then it closes every connection."""
    CUT = "cut"
    """Closes the connection in the middle of the answer."""
    STALL = "stall"
    """Goes silent in the middle of the answer and keeps the connection."""
    UNHEALTHY = "unhealthy"
    """/health answers 503; requests are served."""


class Fault(BaseModel):
    """The body of POST /sim/fault."""

    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    after_tokens: int = Field(default=0, ge=0)
    """Tokens, of all choices together, that come before DIE_MID_STREAM, CRASH, CUT or STALL."""
    delay_s: float = Field(default=1.0, ge=0)
    """For SLOW and CRASH."""
    times: int | None = Field(default=1, ge=1)
    """How many requests meet it; null: every one until DELETE /sim/fault."""


class Faults:
    """The faults still to come, in order; each request meets at most one."""

    def __init__(self) -> None:
        self.pending: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Append `fault`."""
        self.pending.append(fault)

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        self.pending.clear()

    def take(self, *, health_check: bool = False) -> Fault | None:
        """The fault that this request meets; uses up one of its `times`."""
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
