"""Calibration of estimates by the engines' own counters, for requests whose usage nobody asked for.

Lives here: comparing what an engine counted between two scrapes with the requests that ended on it meanwhile.
Not here: reading the counters (gateway.discovery.probing), what is learned (estimates).

A comparison counts only where the engine finished as many requests as this worker knows of, all of them to their end:
so clients beside the gateway spoil nothing.  Of several workers each knows a sample of the requests; where that is as
large as its share should be, the mean of many comparisons counts for a little.
An end is reported up to a flush of the access log after the engine has counted it, so a scrape divides requests cleanly
only if none ended shortly after it.
"""

from collections.abc import Callable, Set
from math import sqrt
from typing import NamedTuple

from gateway.accounting.estimates import Estimator, PromptSize
from gateway.accounting.stream_sizes import StreamShape, StreamSize
from routing.pods.engine_totals import FinishedTotals
from routing.types import PodId

REPORT_DELAY_S = 0.15
"""Seconds after which an end that the engine has counted is known here (chosen: three flushes of the access log)."""
MAX_ENDS = 2000
"""Requests between two clean scrapes at most (chosen: more are compared with noise, and cost memory)."""
SHARE_DEVIATIONS = 2.0
"""Standard deviations by which this worker's share of the requests may differ from an equal one."""


class KnownEnd(NamedTuple):
    """A request that has ended on a pod; a count that the engine reported for it is not None."""

    estimator: Estimator
    prompt: PromptSize
    prompt_tokens: int | None
    shape: StreamShape
    size: StreamSize
    output_tokens: int | None
    is_complete: bool  # the engine counts it as finished, once


class _Interval:
    """The requests on one pod since a scrape that divided them cleanly, and the scrapes since."""

    def __init__(self, start: FinishedTotals) -> None:
        self.start: FinishedTotals | None = start  # None = unknown, until the next clean scrape
        self.latest = start
        self.latest_s = 0.0
        self.is_clean = False  # no request has ended shortly after the latest scrape
        self.before: list[KnownEnd] = []  # those that ended before the latest scrape
        self.after: list[KnownEnd] = []


class Calibration:
    """Compares for one worker; `workers` tells how many share the requests."""

    def __init__(self, workers: Callable[[], int]) -> None:
        self._workers = workers
        self._intervals: dict[PodId, _Interval] = {}

    def follows(self, pod: PodId) -> bool:
        """Return whether the pod's engine counts, so that `ended` takes requests on it."""
        return pod in self._intervals

    def ended(self, pod: PodId, end: KnownEnd, now_s: float) -> None:
        """Take a request that has ended on a pod; do nothing for one that is not followed."""
        interval = self._intervals.get(pod)
        if interval is None:
            return
        if now_s - interval.latest_s < REPORT_DELAY_S:
            interval.is_clean = False
        interval.after.append(end)
        if len(interval.before) + len(interval.after) > MAX_ENDS:
            interval.start = None
            interval.before.clear()
            interval.after.clear()

    def counted(self, pod: PodId, totals: FinishedTotals | None, now_s: float) -> None:
        """Take what an engine had counted at `now_s`; None = it does not tell."""
        if totals is None:
            self._intervals.pop(pod, None)
            return
        interval = self._intervals.get(pod)
        if interval is None or totals.requests < interval.latest.requests:  # new, or the engine has restarted
            interval = self._intervals[pod] = _Interval(totals)
            interval.start = None
        elif interval.is_clean:
            if interval.start is not None:
                self._compare(interval.before, interval.latest.since(interval.start))
            interval.start = interval.latest
            interval.before = interval.after
        else:
            interval.before += interval.after
        interval.after = []
        interval.latest, interval.latest_s, interval.is_clean = totals, now_s, totals.is_whole

    def forget(self, pods: Set[PodId]) -> None:
        """Keep only these pods."""
        for pod in self._intervals.keys() - pods:
            del self._intervals[pod]

    def _compare(self, ends: list[KnownEnd], counted: FinishedTotals) -> None:
        if not ends or not all(end.is_complete for end in ends):
            return
        sampled = counted.requests != len(ends)
        if sampled and not self._is_our_share(len(ends), counted.requests):
            return
        share = len(ends) / counted.requests
        _learn_prompts(ends, counted.prompt_tokens * share, sampled=sampled)
        _learn_outputs(ends, counted.output_tokens * share, sampled=sampled)

    def _is_our_share(self, ours: int, all_: float) -> bool:
        """Return whether several workers, of which this is one, can have had all of the requests."""
        part = 1 / max(1, self._workers())
        deviation = sqrt(all_ * part * (1 - part))
        return ours < all_ and abs(ours - all_ * part) <= SHARE_DEVIATIONS * deviation


def _learn_prompts(ends: list[KnownEnd], counted: float, *, sampled: bool) -> None:
    """Distribute what the known ones leave of the counted tokens among estimators, by their estimates."""
    unknown: dict[int, list[KnownEnd]] = {}
    for end in ends:
        if end.prompt_tokens is not None:
            counted -= end.prompt_tokens
        elif end.prompt.media_tokens:
            counted -= end.estimator.likely_prompt_tokens(end.prompt)
        else:
            unknown.setdefault(id(end.estimator), []).append(end)
    estimates = {key: sum(end.estimator.likely_prompt_tokens(end.prompt) for end in of) for key, of in unknown.items()}
    whole = sum(estimates.values())
    for key, of in unknown.items():
        if whole > 0 and counted > 0:
            sizes = [end.prompt for end in of]
            of[0].estimator.learn_prompts(sizes, counted * estimates[key] / whole, sampled=sampled)


def _learn_outputs(ends: list[KnownEnd], counted: float, *, sampled: bool) -> None:
    """Distribute what the known ones leave of the counted tokens among shapes of streams, by their estimates."""
    unknown: dict[tuple[int, StreamShape], list[KnownEnd]] = {}
    for end in ends:
        counted -= end.output_tokens or 0
        if end.output_tokens is None:
            unknown.setdefault((id(end.estimator), end.shape), []).append(end)
    estimates = {
        key: sum(end.estimator.streams.tokens(end.shape, end.size) for end in of) for key, of in unknown.items()
    }
    whole = sum(estimates.values())
    for key, of in unknown.items():
        if whole > 0 and counted > 0:
            size = StreamSize(*(sum(numbers) for numbers in zip(*(end.size for end in of), strict=True)))
            of[0].estimator.streams.learn(key[1], size, counted * estimates[key] / whole, len(of), sampled=sampled)
