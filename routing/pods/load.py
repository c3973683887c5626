"""What the gateway itself has counted about one pod: what it was sent, what is not back, what came back when.

Lives here: the counts, all O(1) per event.  Not here: who may change them (gateway.fleet.fleet), who reads them
(strategies). Sums over a window fade: what lies `window_s` back counts 1/e.
"""

from math import exp, inf

from routing.pods.engine_totals import NO_TOTALS, EngineTotals
from routing.pods.pace import Pace
from routing.pods.speed import Speed
from routing.prefix.index import Record

WINDOW_S = 60.0
"""Of busy time and processed tokens (chosen: that of the limits; longer than most answers)."""
ITL_AIM = 0.84
"""Of the time between tokens that is promised: aiming at all of it overshoots (chosen: in simulation 0.84 holds)."""
GAIN = 0.1
LEAST_SHARE, MOST_SHARE = 0.002, 1.25
"""One request moves the share of prompts by a tenth at most, never to nothing (chosen; 0.05 to 0.2 behave alike).
More than 1 makes up for prefill that is believed to be slower than it is; 2 overshoots."""
SMALL_SHARE = 0.25
"""Below it the share moves in proportion: of short prompts with long answers hundredths of the time fill the batch, and
steps of a tenth would go from nothing to too many (chosen)."""
RESPONSE_S = 10.0
"""As long it takes the engine's own totals to move the share by 1 at most (chosen: 5 to 20 behave alike)."""
LEAST_LOOK_S = 0.5
"""Totals are compared with older ones than that: a pass must fit in between, and an answer's first token."""
MOST_PROMPTS = 0.9
"""Of the time between two looks, what prompts may have taken at most: they are timed from outside (chosen)."""
FEW_OUTPUTS = 4
"""Answers shorter than this say nothing about the time between tokens."""
LATENCY_MEMORY = 50
"""Requests after which a latency has faded to 1/e (chosen: follows a pod that got slow, evens out single answers)."""


class Work:
    """One request as its pod carries it."""

    __slots__ = ("first_s", "output_tokens", "prompt_tokens", "record", "uncached_tokens", "wait_s")

    def __init__(self, prompt_tokens: int, uncached_tokens: float, output_tokens: int, record: Record | None) -> None:
        self.prompt_tokens = prompt_tokens
        self.uncached_tokens = uncached_tokens
        self.output_tokens = output_tokens  # expected
        self.record = record  # in the pod's prefix cache
        self.wait_s = 0.0  # for the prompts before it, as believed when it was sent
        self.first_s = 0.0  # when its own prompt is believed to be done


class Load:
    """`routing.types.PodView` is what strategies may read of it."""

    __slots__ = (
        "_busy_s", "_busy_seen_s", "_itl_fresh_until_s", "_itl_s", "_kind", "_latency", "_own", "_pace",
        "_prefill_backlog_s", "_prefill_backlog_seen_s", "_processed", "_processed_s", "_seen_in_flight", "_totals",
        "_totals_s", "in_flight", "max_in_flight", "output_tokens", "prefill_done_at_s", "prefill_share",
        "prefill_tokens", "resident_tokens", "speed",
    )  # fmt: skip

    def __init__(self, kind: Speed | None = None) -> None:
        self.in_flight = 0
        self.prefill_tokens = 0.0  # uncached prompt tokens of what is in flight
        self.output_tokens = 0  # expected, of what is in flight
        self.resident_tokens = 0  # prompts and expected outputs of what is in flight
        self.prefill_done_at_s = 0.0  # when all prompts sent so far are believed to be computed
        self._kind = kind or Speed()
        self._own = Speed(self._kind)
        self.speed = self._kind  # until it has shown its own
        self.prefill_share = 1.0  # of its time that prompts may take
        self.max_in_flight = inf  # that keeps tokens as close together as promised
        self._pace = Pace()
        self._itl_s = inf
        self._prefill_backlog_s = self._prefill_backlog_seen_s = 0.0
        self._busy_s = self._busy_seen_s = 0.0
        self._processed = self._processed_s = 0.0
        self._latency = (0.0, 0.0)  # seconds and weighted tokens of finished requests
        self._totals, self._totals_s = NO_TOTALS, -inf
        self._seen_in_flight = 0  # with these totals
        self._itl_fresh_until_s = -inf  # until then the engine itself says how far apart tokens are

    def set_itl_slo(self, itl_s: float) -> None:
        """Tokens may be so far apart; infinity = as they like."""
        self._itl_s = itl_s * ITL_AIM
        self.max_in_flight = self._pace.max_batch_for_itl(self._itl_s)

    def start(self, work: Work, now_s: float) -> None:
        """A request is on its way to the pod."""
        if not self.in_flight:
            self._mark_busy(now_s)
        self.in_flight += 1
        self.prefill_tokens += work.uncached_tokens
        self.output_tokens += work.output_tokens
        self.resident_tokens += work.prompt_tokens + work.output_tokens
        prefill_s = self.speed.prefill_s(work.uncached_tokens)
        work.wait_s = max(0.0, self.prefill_done_at_s - now_s)
        work.first_s = self.prefill_done_at_s = now_s + work.wait_s + prefill_s
        self._set_prefill_backlog(self.prefill_backlog_s(now_s) + prefill_s, now_s)

    def end(self, work: Work, now_s: float) -> None:
        """It has ended, however.  Its prompt is done, and so are those that were sent before it."""
        if self.in_flight == 1:
            self._mark_busy(now_s)
        self.in_flight -= 1
        if self.in_flight:
            self.prefill_tokens -= work.uncached_tokens
            self.output_tokens -= work.output_tokens
            self.resident_tokens -= work.prompt_tokens + work.output_tokens
            self.prefill_done_at_s -= max(0.0, work.first_s - now_s)
        else:
            self.prefill_tokens, self.output_tokens, self.resident_tokens, self.prefill_done_at_s = 0.0, 0, 0, now_s
            self._set_prefill_backlog(0.0, now_s)

    def learn(self, work: Work | None, duration_s: float, outputs: int, cost: float, now_s: float) -> None:
        """A request was answered: in so long, with so many output tokens, `cost` weighted tokens in all.

        `work` is None when the pod that answered is not the one that it was sent to.
        """
        self._processed = self.processed_tokens(now_s) + cost
        self._processed_s = now_s
        if duration_s <= 0:
            return
        fade = 1 - 1 / LATENCY_MEMORY
        seconds, tokens = self._latency
        self._latency = (seconds * fade + duration_s, tokens * fade + cost)
        if work is not None:
            seen = (work.uncached_tokens, outputs, duration_s, work.wait_s)
            self._kind.learn(*seen)
            self._own.learn(*seen)
            if self._itl_s < inf and outputs >= FEW_OUTPUTS and now_s > self._itl_fresh_until_s:
                decode_s = duration_s - work.wait_s - self.speed.prefill_s(work.uncached_tokens)
                self._control(decode_s / outputs, GAIN, now_s)
            self.speed = self._own if self._own.differs(self._kind) else self._kind

    def observe(self, totals: EngineTotals, now_s: float, fresh_until_s: float) -> None:
        """Learn from what the engine has added up since it was looked at last: that counts everybody's requests."""
        elapsed_s = now_s - self._totals_s
        if elapsed_s < LEAST_LOOK_S:
            return
        increase = totals.since(self._totals)
        self._totals, self._totals_s = totals, now_s
        itl_s, computed = increase.mean_itl_s, increase.computed_tokens
        if itl_s is not None:
            self._itl_fresh_until_s = fresh_until_s
            if self._itl_s < inf:
                self._control(itl_s, min(1.0, elapsed_s / RESPONSE_S), now_s)
            if computed is not None:  # else nobody knows what prompts had to do with it
                prompts = min(MOST_PROMPTS, computed * self.speed.token_s / elapsed_s)
                self._pace.learn((self.in_flight + self._seen_in_flight) / 2, itl_s * (1 - prompts))
                self.max_in_flight = self._pace.max_batch_for_itl(self._itl_s)
        self._seen_in_flight = self.in_flight
        if increase.ttft_count and increase.ttft_sum_s and computed and computed > 0:
            busy_s = min(increase.ttft_sum_s, elapsed_s)
            self._kind.measure(increase.ttft_count, computed, busy_s)
            self._own.measure(increase.ttft_count, computed, busy_s)

    def forget_totals(self) -> None:
        """Another process counts from now on."""
        self._totals, self._totals_s = NO_TOTALS, -inf

    def busy_s(self, now_s: float) -> float:
        """Return the seconds in the window during which at least one request was in flight."""
        return _busy(self._busy_s, now_s - self._busy_seen_s, self.in_flight > 0)

    def processed_tokens(self, now_s: float) -> float:
        """Return the weighted tokens of requests that ended in the window."""
        return self._processed * exp(min(0.0, self._processed_s - now_s) / WINDOW_S)

    def recall(self, busy_s: float, processed: float, latency_s: float | None) -> None:
        """Take over what was written down of a pod at time 0."""
        self._busy_s, self._processed = busy_s, processed
        self._latency = (latency_s, 1.0) if latency_s is not None else (0.0, 0.0)

    @property
    def latency_per_token_s(self) -> float | None:
        """Seconds per weighted token of finished requests; None = none has finished."""
        seconds, tokens = self._latency
        return seconds / tokens if tokens else None

    def prefill_backlog_s(self, now_s: float) -> float:
        """See `PodView.prefill_backlog_s`."""
        return max(0.0, self._prefill_backlog_s - self.prefill_share * max(0.0, now_s - self._prefill_backlog_seen_s))

    def _set_prefill_backlog(self, prefill_backlog_s: float, now_s: float) -> None:
        self._prefill_backlog_s, self._prefill_backlog_seen_s = prefill_backlog_s, now_s

    def _control(self, itl_s: float, gain: float, now_s: float) -> None:
        """Prompts may take less of the time when tokens come too far apart, and more when they do not."""
        self._set_prefill_backlog(self.prefill_backlog_s(now_s), now_s)
        room = max(-1.0, 1 - itl_s / self._itl_s)
        step = gain * room * min(1.0, self.prefill_share / SMALL_SHARE)
        self.prefill_share = min(MOST_SHARE, max(LEAST_SHARE, self.prefill_share + step))

    def _mark_busy(self, now_s: float) -> None:
        self._busy_s = self.busy_s(now_s)
        self._busy_seen_s = now_s


def _busy(busy_s: float, elapsed_s: float, is_busy: bool) -> float:
    faded = exp(-max(0.0, elapsed_s) / WINDOW_S)
    return busy_s * faded + (WINDOW_S * (1 - faded) if is_busy else 0.0)
