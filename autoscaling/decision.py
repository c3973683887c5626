"""A decision of an autoscaler, and the seam through which every strategy makes them.

Lives here: the values and the seam.  Not here: the strategies and their table (strategies, autoscaler).
"""

from dataclasses import dataclass
from typing import Any, Protocol

from autoscaling.observation import Observation


@dataclass(frozen=True, slots=True)
class Decision:
    """The replicas that a target should have now."""

    desired: int
    """Within the bounds of the specification."""
    reason: str
    """One line for people, with the numbers that decided."""
    next_s: float
    """Time of the next decision, by the clock of the observation."""
    missing: str = ""
    """Why nothing could be computed, so that `desired` only keeps what there is; empty where it could."""


class Strategy(Protocol):
    """Decides for one target, again and again; keeps what it has to remember between two decisions."""

    def decide(self, observation: Observation) -> Decision:
        """Return the replicas to have; observations come in the order of time."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what a restart must not lose, as JSON can hold it; of bounded size."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take over the state of an earlier process.  Raises ValueError where it is not one of this strategy's."""
        ...
