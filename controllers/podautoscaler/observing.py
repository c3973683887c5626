"""The seam through which a target is seen: its pods and its specification go in, an observation comes out.

Lives here: the values and the seam.  Not here: reading metrics (sources), what is decided (autoscaling).
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from autoscaling.observation import Observation
from autoscaling.spec import Spec, Target
from kube.models import DEFAULT_PORT


class ScaledPod(NamedTuple):
    """One pod of a target: none that has ended or is being deleted."""

    name: str
    ip: str  # empty while it has none
    is_ready: bool
    started_s: float | None = None
    """Time at which a kubelet took it up, in seconds since the epoch; None before that."""
    port: int = DEFAULT_PORT
    """The port of its engine (label model.aibrix.ai/port), where strategy SLO finds the engine's page."""
    runtime_port: int | None = None
    """The port of the runtime beside its engine; None where there is none."""


class Observed(NamedTuple):
    """An observation, and why values are absent from it."""

    observation: Observation
    failures: tuple[str, ...] = ()
    """One sentence per source that could not be read, for conditions: what was asked, and what came instead."""


class Observer(Protocol):
    """Sees the targets of all autoscalers of a process; remembers of each what makes differences of counters."""

    async def observe(
        self, spec: Spec, model: str, pods: Sequence[ScaledPod], starting: int, draining: int
    ) -> Observed:
        """Return what is seen of `spec.target` now, in seconds since the epoch; a source that fails is never raised.

        `model` is what the target serves, empty where it does not say.  `starting` are pods that were ordered and are
        not ready, whether they exist yet or not; `draining` those that are being deleted.
        """
        ...

    def forget(self, target: Target) -> None:
        """Let go of what is remembered of a target: its autoscaler is gone, or this process leads no more."""
        ...
