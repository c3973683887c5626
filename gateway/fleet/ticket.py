"""The ticket: a request that is counted on a pod.

Lives here: the value.  Not here: making and taking back tickets (fleet).
"""

from gateway.fleet.pod import Pod
from routing.pods.load import Work
from routing.types import Decision, PodId, RouteRequest


class Ticket:
    """A request in flight.  Whoever learns of its end first returns it to the fleet; only the fleet changes it."""

    __slots__ = ("decision", "open", "pod", "request", "shadow", "waited_s", "work")

    def __init__(
        self, request: RouteRequest, decision: Decision, pod: Pod, work: Work, *, shadow: PodId, waited_s: float
    ) -> None:
        self.shadow = shadow  # the shadow strategy's choice; empty when there is no shadow strategy
        self.request = request  # keeps at most one of its blocks
        self.work = work
        self.decision = decision
        self.pod = pod  # the chosen pod, on which it is counted even if a fallback answers
        self.waited_s = waited_s  # time in the admission queue
        self.open = True
