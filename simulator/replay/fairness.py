"""How unequally users are served who want service at the same time.

Lives here: the measure.  Not here: what makes it small (strategies, limits).
After Sheng et al., "Fairness in Serving Large Language Models" (OSDI'24): service is tokens, an output token weighs
more than an input token, and nobody falls behind by what they did not ask for.  What was refused is not asked for.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from simulator.replay.replay import Call

INPUT_WEIGHT = 1
OUTPUT_WEIGHT = 2
"""The paper's."""
WINDOW_S = 60.0
"""That of the limits."""


class ServiceGap(NamedTuple):
    """Of all windows: how far the worst served user fell behind the best served, in weighted tokens."""

    mean: float
    largest: float


def service_gap(calls: Iterable[Call]) -> ServiceGap | None:
    """Return None when fewer than two users were served."""
    calls = [call for call in calls if call.served]
    users = {user: place for place, user in enumerate(sorted({call.request.user for call in calls}))}
    if len(users) < 2:  # noqa: PLR2004 - a difference needs two
        return None
    start_s = min(call.arrived_s for call in calls)

    def window(moment_s: float) -> int:
        return int((moment_s - start_s) / WINDOW_S)

    windows = 1 + max(window(call.arrived_s + call.e2e_s) for call in calls)
    asked, served = ([[0.0] * windows for _ in users] for _ in range(2))
    for call in calls:
        user = users[call.request.user]
        input_service = INPUT_WEIGHT * call.request.input_length  # counted with the first token
        output_service = OUTPUT_WEIGHT * call.request.output_length  # with the last
        asked[user][window(call.arrived_s)] += input_service + output_service
        served[user][window(call.arrived_s + call.ttft_s)] += input_service
        served[user][window(call.arrived_s + call.e2e_s)] += output_service
    gaps = list(_gaps(asked, served))
    return ServiceGap(sum(gaps) / len(gaps), max(gaps))


def _gaps(asked: Sequence[Sequence[float]], served: Sequence[Sequence[float]]) -> Iterator[float]:
    """One per window."""
    open_before = [0.0] * len(asked)  # asked for earlier and not served
    for window in range(len(asked[0])):
        best = max(user[window] for user in served)
        wanted = [before + user[window] for before, user in zip(open_before, asked, strict=True)]
        yield max(min(best, want) - user[window] for want, user in zip(wanted, served, strict=True))
        open_before = [want - user[window] for want, user in zip(wanted, served, strict=True)]
