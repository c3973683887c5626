"""The time as the windows of a model tell it: whether anything is heard, and for how long there was no request.

A window without requests says that there is no load; no window says nothing.
"""

from dataclasses import dataclass

from traffic.window import Window


@dataclass(slots=True)
class Heard:
    """The times of the windows that came, by the clock of Redis."""

    ends_at_s: float | None = None
    """End of the last window; None = there was none."""
    in_flight: int = 0
    """Requests that engines had at its end."""
    writers: int = 0
    """Workers of gateways that counted it."""
    _busy_until_s: float = 0.0

    def take(self, window: Window) -> None:
        """Take a window in."""
        if self.ends_at_s is None:
            self._busy_until_s = window.starts_at_s
        self.ends_at_s = window.starts_at_s + window.duration_s
        self.in_flight, self.writers = window.in_flight, window.writers
        if window.arrivals or window.waiting:
            self._busy_until_s = self.ends_at_s

    @property
    def idle_s(self) -> float:
        """For how long there had been no request at the end of the last window, in seconds."""
        return 0.0 if self.ends_at_s is None else self.ends_at_s - self._busy_until_s

    def silence(self, now_s: float, stale_s: float) -> str | None:
        """Return why nothing is known of now, in one line; None = the last window is young enough."""
        if self.ends_at_s is None:
            return "no traces: no gateway has counted a request of the model, or they cannot reach Redis"
        age_s = now_s - self.ends_at_s
        if age_s <= stale_s:
            return None
        return f"the last trace ended {age_s:.0f} s ago, more than {stale_s:g} s: gateways or Redis are away"
