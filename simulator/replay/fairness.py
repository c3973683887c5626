"""The service difference: how unequally users are served who want service at the same time.

Lives here: the measure.  Not here: keeping it small (routing, limits).
After Sheng et al., "Fairness in Serving Large Language Models" (OSDI'24): service is counted in tokens, output tokens
weigh more than input tokens, and a user does not fall behind by service that they did not request.  Refused requests do
not count as requested.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from simulator.replay.replay import Call

INPUT_WEIGHT = 1
OUTPUT_WEIGHT = 2
"""The paper's weights."""
WINDOW_S = 60.0
"""Seconds over which service is compared: the window of the limits."""


class ServiceDifference(NamedTuple):
    """Weighted tokens by which the worst served user fell behind the best served, over all windows."""

    mean: float
    largest: float


def service_difference(calls: Iterable[Call]) -> ServiceDifference | None:
    """Return the service difference; None = fewer than two users were served."""
    calls = [call for call in calls if call.served]
    users = {user: place for place, user in enumerate(sorted({call.request.user for call in calls}))}
    if len(users) < 2:  # noqa: PLR2004 - a difference needs two
        return None
    start_s = min(call.arrived_s for call in calls)

    def window(moment_s: float) -> int:
        return int((moment_s - start_s) / WINDOW_S)

    windows = 1 + max(window(call.arrived_s + call.e2e_s) for call in calls)
    requested, served = ([[0.0] * windows for _ in users] for _ in range(2))
    for call in calls:
        user = users[call.request.user]
        input_service = INPUT_WEIGHT * call.request.input_length  # counted at the first token
        output_service = OUTPUT_WEIGHT * call.request.output_length  # counted at the last token
        requested[user][window(call.arrived_s)] += input_service + output_service
        served[user][window(call.arrived_s + call.ttft_s)] += input_service
        served[user][window(call.arrived_s + call.e2e_s)] += output_service
    differences = list(_differences(requested, served))
    return ServiceDifference(sum(differences) / len(differences), max(differences))


def _differences(requested: Sequence[Sequence[float]], served: Sequence[Sequence[float]]) -> Iterator[float]:
    """Yield the difference in each window."""
    backlog = [0.0] * len(requested)  # requested in earlier windows and not served yet
    for window in range(len(requested[0])):
        best = max(user[window] for user in served)
        demand = [before + user[window] for before, user in zip(backlog, requested, strict=True)]
        yield max(min(best, wanted) - user[window] for wanted, user in zip(demand, served, strict=True))
        backlog = [wanted - user[window] for wanted, user in zip(demand, served, strict=True)]
