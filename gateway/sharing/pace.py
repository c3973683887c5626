"""The pace of a replica's messages: at once after a change while that costs little, else one in an interval.

Lives here: the pace.  Not here: sending (sharing), which changes are urgent (gateway.fleet.outbox).

Messages are sent as soon as something changed while they are few, so that a small gateway is not blind for an interval;
many are spaced (the generic cell rate algorithm, ITU-T I.371: a message each interval, BURST of them saved up).  While
requests wait, each message decides who is next, and none is held back.
"""

from math import inf

EXPECTED_S = 1.0
"""After an urgent change more are expected for so long, in seconds (chosen)."""
BURST = 10
"""Messages that may follow each other at once after a time of silence (chosen)."""


class Pace:
    """The pace of one replica's messages; `interval_s` is the mean pause between many."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._full_s = -inf  # when a message has been paid for by the intervals before it
        self._urgent_s = -inf

    def look(self, now_s: float, *, is_urgent: bool) -> None:
        """Note whether what changed is urgent."""
        if is_urgent:
            self._urgent_s = now_s

    def told(self, now_s: float) -> None:
        """Note that a message with changes was sent.

        Urgent ones are sent unpaid, and no more than an interval is owed for them: else their sender would be silent
        afterwards for an interval each, and its siblings would believe it gone.
        """
        self._full_s = min(max(self._full_s, now_s), now_s + BURST * self._interval_s) + self._interval_s

    def next_s(self, now_s: float) -> float:
        """Return when the next message may be sent; a time in the past = now."""
        return -inf if now_s - self._urgent_s < EXPECTED_S else self._full_s - BURST * self._interval_s
