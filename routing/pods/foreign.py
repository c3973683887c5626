"""Foreign load: what an engine reports beyond the requests that our own replicas have there.

Lives here: the estimate.  Not here: the engine's metrics (gateway.discovery.probing), our own counts (load), what the
load costs a request (routing.strategies.forebay, routing.overload).

Gauges and counts are never of one moment: an engine updates its gauges once in a pass or more rarely, counts a request
for a while after its client left, and siblings' requests become known some time after they were sent.  So the largest
count of ours around the scrape is subtracted: foreign load may be found too low for a while, and ours never looks
foreign.
"""

from collections.abc import Mapping
from math import inf
from typing import NamedTuple

from routing.pods.engine_totals import NO_TOTALS, EngineTotals
from routing.pods.speed import Speed

BEFORE_S = 2.0
"""Seconds before a scrape in which our largest count matters, at least; twice as many at most (chosen: a long pass of
vLLM takes a second, and SGLang updates its gauges every 40 passes)."""
AFTER_S = 0.5
"""Seconds after a scrape in which siblings may still tell what they had sent before (chosen: ten of their messages)."""
STALLED_S = 30.0
"""Seconds without a token after which gauges that stand still are not believed.  Older versions of vLLM keep them when
all requests are aborted at once, and a pod that is avoided for them would never get the request that corrects them;
SGLang refreshes those of an idle engine every 30 s."""
DECAY = 0.9
"""Factor on the weight of older prompts at each scrape, for their mean length (chosen: follows within a minute)."""


class Reported(NamedTuple):
    """The load of an engine as it reports it."""

    running: float = 0.0  # requests of all clients
    waiting: float = 0.0
    tokens: float | None = 0.0  # in its KV cache, beyond those of our requests; None = unknown


NOTHING = Reported()


class Foreign:
    """The foreign load of one pod, as of its last scrape.  Nothing is foreign where an engine reports no gauges."""

    __slots__ = (
        "_earlier_peak", "_fresh_until_s", "_moved_s", "_peak", "_peak_since_s", "_prompts", "_reported", "_scraped_s",
        "_totals", "interval_s", "requests", "running", "tokens", "waiting",
    )  # fmt: skip

    def __init__(self) -> None:
        self.requests = self.running = self.waiting = 0.0
        self.tokens = 0.0  # in the KV cache
        self.interval_s = 0.0  # seconds between two first tokens while requests waited; 0 = unknown
        self._prompts = (0.0, 0.0)  # prompts and uncached tokens, of all clients, that the engine computed
        self._peak = self._earlier_peak = 0
        self._peak_since_s = -inf
        self._reported = NOTHING
        self._totals = NO_TOTALS
        self._scraped_s = self._moved_s = self._fresh_until_s = -inf

    def is_fresh(self, now_s: float) -> bool:
        """Return whether the last scrape still counts; what it said is unknown afterwards, and so is foreign load."""
        return now_s <= self._fresh_until_s

    def is_waiting(self, now_s: float) -> bool:
        """Return whether any are known to wait."""
        return self.waiting > 0 and now_s <= self._fresh_until_s

    def wait_s(self, speed: Speed, prompt_tokens: int) -> float:
        """Return the seconds until the prompts that wait there are computed.

        Each takes the prefill of a mean prompt, or the time between two first tokens where that is longer, because a
        batch or KV cache is full.  While the mean is not known, they are taken to be as long as the prompt at hand.
        """
        return self.waiting * max(speed.prefill_s(self.mean_tokens or prompt_tokens), self.interval_s)

    @property
    def mean_tokens(self) -> float:
        """Mean uncached tokens of the prompts that the engine computes; 0 = unknown."""
        prompts, tokens = self._prompts
        return tokens / prompts if prompts else 0.0

    def before_fewer(self, ours: int, now_s: float) -> None:
        """Remember how many requests of ours there were, before one ends."""
        if now_s - self._peak_since_s > BEFORE_S:
            self._earlier_peak, self._peak, self._peak_since_s = self._peak_at(now_s), 0, now_s
        self._peak = max(self._peak, ours)

    def after_more(self, ours: int, now_s: float) -> None:
        """Take into account that siblings had more requests there than was known at the scrape."""
        if self.requests and now_s < self._scraped_s + AFTER_S:
            self._count(ours, now_s)

    def observe(self, reported: Reported, totals: EngineTotals, ours: int, now_s: float, fresh_until_s: float) -> None:
        """Take what an engine reports of all clients, asked for at `now_s`, with `ours` requests of ours there."""
        elapsed_s, increase = now_s - self._scraped_s, totals.since(self._totals)
        first_tokens, computed = increase.ttft_count, increase.computed_tokens
        if first_tokens and computed is not None:
            prompts, tokens_of_prompts = self._prompts
            self._prompts = (prompts * DECAY + first_tokens, tokens_of_prompts * DECAY + computed)
        if not (reported.waiting and self._reported.waiting):
            self.interval_s = 0.0
        elif first_tokens:
            self.interval_s = elapsed_s / first_tokens
        if reported[:2] != self._reported[:2] or _moved(increase):
            self._moved_s = now_s
        self._reported, self._totals = reported, totals
        self._scraped_s, self._fresh_until_s = now_s, fresh_until_s
        self._count(ours, now_s)

    def forget(self) -> None:
        """Forget what the engine reported: it reports no gauges now, so nothing is known of others."""
        self.requests = self.running = self.waiting = self.interval_s = 0.0
        self._reported, self._totals = NOTHING, NO_TOTALS

    def recall(self, recorded: Mapping[str, float]) -> None:
        """Take over the load of a pod that was recorded, at time 0."""
        self.running, self.waiting, self.tokens = recorded["running"], recorded["waiting"], recorded["tokens"]
        self.requests, self.interval_s = self.running + self.waiting, recorded["interval_s"]
        self._prompts, self._fresh_until_s = (1.0, recorded["mean_tokens"]), 0.0

    def _count(self, ours: int, now_s: float) -> None:
        """Set what is foreign: the same share of the running requests as of the waiting ones.

        Where the tokens in the KV cache are unknown, each running request has those of a mean prompt there at least.
        """
        running, waiting, tokens = self._reported
        reported = running + waiting
        foreign = max(0.0, reported - max(ours, self._peak_at(now_s)))
        if not foreign or now_s - self._moved_s > STALLED_S:
            self.requests = self.running = self.waiting = self.tokens = 0.0
            return
        share = foreign / reported
        self.requests, self.running, self.waiting = foreign, running * share, waiting * share
        self.tokens = self.running * self.mean_tokens if tokens is None else tokens

    def _peak_at(self, now_s: float) -> int:
        """Return the largest count that was remembered in the last BEFORE_S, or in up to twice that."""
        age_s = now_s - self._peak_since_s
        if age_s > 2 * BEFORE_S:
            return 0
        return self._peak if age_s > BEFORE_S else max(self._peak, self._earlier_peak)


def _moved(increase: EngineTotals) -> bool:
    """Return whether the engine made a token between two scrapes; where it does not count them it may have."""
    counts = (increase.itl_count, increase.ttft_count)
    return None in counts or any(counts)
