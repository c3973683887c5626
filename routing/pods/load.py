"""The gateways' own accounting of one pod: requests in flight, prefill backlog, tokens processed, latency.

Lives here: the counts, all O(1) per event.  Not here: the step of the prefill share, calling these methods
(gateway.fleet.fleet), reading the counts (strategies, routing.overload), telling them (gateway.fleet.outbox).

Counts are totals over all replicas.  What others have in flight (`elsewhere`) is kept apart and in whole numbers, so
that it can be replaced or taken away without a remainder.
Sums over the window decay exponentially with the time constant WINDOW_S.
"""

from math import exp, inf
from operator import add, sub
from typing import NamedTuple

from routing.pods.engine_totals import NO_TOTALS, EngineTotals
from routing.pods.foreign import Foreign
from routing.pods.pace import Pace
from routing.pods.prefill_share import ITL_TARGET_SHARE, agreed_share, next_share
from routing.pods.speed import Learned, Speed
from routing.prefix.index import Record

WINDOW_S = 60.0
"""Time constant of busy time and processed tokens, in seconds (chosen: the window of the limits; longer than most
responses)."""
MAX_STEP = 0.1
"""Maximum change of the prefill share by one finished request (chosen: 0.05 to 0.2 behave alike in simulation)."""
RESPONSE_TIME_S = 10.0
"""Seconds in which scraped totals change the prefill share by at most 1 (chosen: 5 to 20 behave alike)."""
MIN_SCRAPE_GAP_S = 0.5
"""Minimum seconds between two scrapes that are compared: passes and first tokens must lie between them (chosen)."""
MAX_MEASURED_SHARE = 0.9
"""Maximum share of the time between two scrapes that is attributed to prefill, whose speed is an estimate (chosen)."""
MIN_OUTPUT_TOKENS = 4
"""Shorter responses are not used to estimate the ITL: prefill dominates their duration (chosen)."""
LATENCY_DECAY_REQUESTS = 50
"""Finished requests after which a latency's weight is 1/e (chosen: follows a pod that slows down, averages noise)."""


class Work:
    """The load that one request puts on its pod."""

    __slots__ = (
        "backlog_s", "extra_sequences", "output_tokens", "prefill_done_at_s", "prefill_s", "prefill_sent_s",
        "prompt_tokens", "record", "started_s", "uncached_tokens", "wait_is_known", "wait_s",
    )  # fmt: skip

    def __init__(
        self,
        prompt_tokens: int,
        uncached_tokens: float,
        output_tokens: int,
        record: Record | None,
        *,
        sequences: int = 1,
    ) -> None:
        self.prompt_tokens = prompt_tokens
        self.uncached_tokens = uncached_tokens
        self.output_tokens = output_tokens  # expected
        self.record = record  # the entry in the model of the pod's prefix cache
        self.extra_sequences = sequences - 1  # by which engines count more than this one request
        self.wait_s = 0.0  # predicted wait for earlier prompts of ours, when it was sent
        self.wait_is_known = True  # whether it waited for no others
        self.prefill_done_at_s = 0.0  # predicted end of its prefill
        self.prefill_s = 0.0  # predicted duration of its prefill
        self.prefill_sent_s = 0.0  # of all prompts that the pod was ever sent, up to and with this one
        self.started_s = self.backlog_s = 0.0  # when it was sent, and the prefill backlog with it


class InFlight(NamedTuple):
    """Requests in flight and their tokens."""

    requests: int = 0
    prefill_tokens: int = 0
    output_tokens: int = 0
    resident_tokens: int = 0
    extra_sequences: int = 0
    sent: int = 0  # requests ever sent, of which these are the rest


NONE_IN_FLIGHT = InFlight()


class Load:
    """The accounting of one pod.  `routing.types.PodView` is the part that strategies read."""

    __slots__ = (
        "_batch_at_scrape", "_busy_s", "_busy_seen_s", "_itl_fresh_until_s", "_itl_target_s", "_latency", "_own",
        "_pace", "_prefill_backlog_at_s", "_prefill_backlog_s", "_prefill_sent_s", "_processed", "_processed_s",
        "_share_changed", "_totals", "_totals_s", "_untold_prefill_s", "_untold_processed", "_wait_fell", "elsewhere",
        "extra_sequences", "foreign", "in_flight", "kind", "max_in_flight", "output_tokens", "prefill_done_at_s",
        "prefill_share", "prefill_tokens", "resident_tokens", "sent", "speed",
    )  # fmt: skip

    def __init__(self, kind: Speed | None = None) -> None:
        self.in_flight = 0
        self.extra_sequences = 0  # by which engines count more sequences than requests in flight
        self.foreign = Foreign()
        self.prefill_tokens = 0.0  # uncached prompt tokens of the requests in flight
        self.output_tokens = 0  # expected output tokens of the requests in flight
        self.resident_tokens = 0  # prompt and expected output tokens of the requests in flight
        self.sent = 0  # requests ever sent
        self.prefill_done_at_s = 0.0  # predicted end of the prefill of all prompts sent so far
        self.elsewhere = NONE_IN_FLIGHT  # the part of these counts that other replicas have
        self._untold_prefill_s = 0.0  # what was sent here, less what was given up, since `take_news`
        self._untold_processed = 0.0
        self._wait_fell = self._share_changed = False
        self.kind = kind or Speed()  # the speed of all pods of its kind
        self._own = Speed(self.kind)
        self.speed = self.kind  # until its own differs
        self.prefill_share = 1.0  # share of its time that prefill may take
        self.max_in_flight = inf  # the most requests that keep the ITL SLO
        self._pace = Pace()
        self._itl_target_s = inf
        self._prefill_backlog_s = self._prefill_backlog_at_s = 0.0
        self._prefill_sent_s = 0.0  # predicted seconds of prefill of all prompts ever sent
        self._busy_s = self._busy_seen_s = 0.0
        self._processed = self._processed_s = 0.0
        self._latency = (0.0, 0.0)  # seconds and weighted tokens of finished requests
        self._totals, self._totals_s = NO_TOTALS, -inf
        self._batch_at_scrape = 0.0
        self._itl_fresh_until_s = -inf  # until then the engine's own ITL is used

    def set_itl_slo(self, itl_s: float) -> None:
        """Set the ITL that the pod must keep; infinity = there is none."""
        self._itl_target_s = itl_s * ITL_TARGET_SHARE
        self.max_in_flight = self._pace.max_batch_for_itl(self._itl_target_s)

    def start(self, work: Work, now_s: float) -> None:
        """Count a request that is sent to the pod."""
        if not self.in_flight:
            self._mark_busy(now_s)
        self.in_flight += 1
        self.sent += 1
        self.extra_sequences += work.extra_sequences
        self.prefill_tokens += work.uncached_tokens
        self.output_tokens += work.output_tokens
        self.resident_tokens += work.prompt_tokens + work.output_tokens
        work.started_s = now_s
        work.prefill_s = prefill_s = self.speed.prefill_s(work.uncached_tokens)
        work.wait_s = max(0.0, self.prefill_done_at_s - now_s)
        work.wait_is_known = not self.foreign.is_waiting(now_s)
        work.prefill_done_at_s = self.prefill_done_at_s = now_s + work.wait_s + prefill_s
        self._prefill_sent_s += prefill_s
        self._untold_prefill_s += prefill_s
        work.prefill_sent_s = self._prefill_sent_s
        work.backlog_s = self.prefill_backlog_s(now_s) + prefill_s
        self._set_prefill_backlog(work.backlog_s, now_s)

    def end(self, work: Work, now_s: float) -> None:
        """Count a request that has ended, in whatever way: the pod computes nothing more of its prompt.

        `answered` or `gave_up` must follow when it is known how it ended.
        """
        if self.in_flight == 1:
            self._mark_busy(now_s)
        self.foreign.before_fewer(self.sequences, now_s)
        self.in_flight -= 1
        self.extra_sequences -= work.extra_sequences
        if self.in_flight > self.elsewhere.requests:
            self.prefill_tokens -= work.uncached_tokens
            self.output_tokens -= work.output_tokens
            self.resident_tokens -= work.prompt_tokens + work.output_tokens
        else:
            self._drop_remainders()
        if self.in_flight:
            self._shorten_wait(self.prefill_done_at_s - min(work.prefill_s, max(0.0, work.prefill_done_at_s - now_s)))
        else:
            self._become_idle(now_s)

    def answered(self, work: Work | None, cost: float, now_s: float) -> None:
        """Learn that the pod answered a request: its prefill is done, and so are those sent before it.

        `cost` is in weighted tokens; `work` is None when the request was counted on another pod, as for a fallback.
        """
        self._process(cost, now_s)
        self._untold_processed += cost
        if work is not None:
            self._shorten_wait(now_s + self._prefill_sent_s - work.prefill_sent_s)

    def gave_up(self, work: Work, now_s: float) -> None:
        """Learn that the request ended before its prompt was computed: what is left of its prefill is no backlog."""
        if self._busy_seen_s <= work.started_s:  # else the pod was idle in between, and has no backlog of that time
            drained_s = self.prefill_share * (now_s - work.started_s)
            remaining_s = min(work.prefill_s, max(0.0, work.backlog_s - drained_s))
            self._set_prefill_backlog(max(0.0, self.prefill_backlog_s(now_s) - remaining_s), now_s)
            self._untold_prefill_s -= remaining_s

    def learn(self, work: Work | None, duration_s: float, outputs: int, cost: float, now_s: float) -> bool:
        """Learn from a request that was answered to its end; `work` and `cost` are as for `answered`.

        Return whether the pod's speed was learned from it: not if the time that it waited for others is unknown.
        """
        if duration_s <= 0:
            return False
        self.learn_latency(duration_s, cost)
        if work is None or not work.wait_is_known or self.foreign.is_waiting(now_s):
            return False
        self.learn_speed(work.uncached_tokens, outputs, duration_s, work.wait_s, now_s)
        return True

    def learn_latency(self, duration_s: float, cost: float) -> None:
        """Learn from the duration of a request and its weighted tokens."""
        decay = 1 - 1 / LATENCY_DECAY_REQUESTS
        seconds, tokens = self._latency
        self._latency = (seconds * decay + duration_s, tokens * decay + cost)

    def learn_speed(
        self,
        uncached: float,
        outputs: int,
        duration_s: float,
        wait_s: float,
        now_s: float,
        *,
        is_selected: bool = False,
    ) -> None:
        """Learn from a request that was counted on this pod; for `is_selected` see `Speed.learn`."""
        self.kind.learn(uncached, outputs, duration_s, wait_s, is_selected=is_selected)
        self._own.learn(uncached, outputs, duration_s, wait_s, is_selected=is_selected)
        if self._itl_target_s < inf and outputs >= MIN_OUTPUT_TOKENS and now_s > self._itl_fresh_until_s:
            decode_s = duration_s - wait_s - self.speed.prefill_s(uncached)
            self._adjust_prefill_share(decode_s / outputs, MAX_STEP, now_s)
        self._choose_speed()

    def observe(self, totals: EngineTotals, now_s: float, fresh_until_s: float) -> None:
        """Learn from the increase of the engine's totals since the last scrape; they count all clients' requests."""
        elapsed_s = now_s - self._totals_s
        if elapsed_s < MIN_SCRAPE_GAP_S:
            return
        increase, batch = totals.since(self._totals), self.in_flight + self.foreign.running
        self._totals, self._totals_s = totals, now_s
        itl_s, computed = increase.mean_itl_s, increase.computed_tokens
        if itl_s is not None:
            self._itl_fresh_until_s = fresh_until_s
            if self._itl_target_s < inf:
                self._adjust_prefill_share(itl_s, min(1.0, elapsed_s / RESPONSE_TIME_S), now_s)
            if computed is not None:  # else the part of prefill in the ITL is unknown
                prefill_share = min(MAX_MEASURED_SHARE, computed * self.speed.token_s / elapsed_s)
                self._pace.learn((batch + self._batch_at_scrape) / 2, itl_s * (1 - prefill_share))
                self.max_in_flight = self._pace.max_batch_for_itl(self._itl_target_s)
        self._batch_at_scrape = batch
        if increase.ttft_count and increase.ttft_sum_s and computed and computed > 0:
            busy_s = min(increase.ttft_sum_s, elapsed_s)
            self.kind.measure(increase.ttft_count, computed, busy_s)
            self._own.measure(increase.ttft_count, computed, busy_s)

    @property
    def own(self) -> InFlight:
        """The part of what is in flight that this replica sent."""
        others = self.elsewhere
        return InFlight(
            self.in_flight - others.requests,
            max(0, round(self.prefill_tokens - others.prefill_tokens)),
            self.output_tokens - others.output_tokens,
            self.resident_tokens - others.resident_tokens,
            self.extra_sequences - others.extra_sequences,
            self.sent - others.sent,
        )

    def take_news(self, now_s: float) -> tuple[float, float, float | None, float | None]:
        """Return what other replicas have to add to theirs since the last call.

        Predicted seconds of prefill that were sent less those given up; weighted tokens processed; and the predicted
        wait if it is shorter than the first of these explains, because prompts were done early or ended.
        """
        wait_s = max(0.0, self.prefill_done_at_s - now_s) if self._wait_fell else None
        share = self.prefill_share if self._share_changed else None
        news = self._untold_prefill_s, self._untold_processed, share, wait_s
        self._untold_prefill_s = self._untold_processed = 0.0
        self._wait_fell = self._share_changed = False
        return news

    def count_elsewhere(self, before: InFlight, after: InFlight, now_s: float) -> None:
        """Replace what one other replica has in flight here, which was `before`."""
        self.foreign.before_fewer(self.sequences, now_s)
        change = tuple(map(sub, after, before))
        requests, prefill, output, resident, sequences, sent = change
        was_busy = self.in_flight > 0
        if was_busy != (self.in_flight + requests > 0):
            self._mark_busy(now_s)
        self.elsewhere = InFlight(*map(add, self.elsewhere, change))
        self.in_flight += requests
        self.prefill_tokens += prefill
        self.output_tokens += output
        self.resident_tokens += resident
        self.sent += sent
        self.extra_sequences += sequences
        self.foreign.after_more(self.sequences, now_s)
        if self.in_flight == self.elsewhere.requests:
            self._drop_remainders()
        if was_busy and not self.in_flight:
            self._become_idle(now_s)

    def sent_elsewhere(
        self, prefill_s: float, processed_tokens: float, share: float | None, wait_s: float | None, now_s: float
    ) -> None:
        """Add another replica's news; see `take_news`."""
        if share is not None:
            self._set_prefill_share(agreed_share(self.prefill_share, share), now_s)
        self.prefill_done_at_s = max(now_s, max(now_s, self.prefill_done_at_s) + prefill_s)
        self._prefill_sent_s += max(0.0, prefill_s)
        self._set_prefill_backlog(max(0.0, self.prefill_backlog_s(now_s) + prefill_s), now_s)
        if processed_tokens:
            self._process(processed_tokens, now_s)
        if wait_s is not None:  # the other does not know yet what was sent here in the meantime
            known_s = now_s + wait_s + max(0.0, self._untold_prefill_s)
            self.prefill_done_at_s = min(self.prefill_done_at_s, known_s)

    def take_over_speed(self, learned: Learned, *, is_own: bool) -> None:
        """Take over what another replica has learned of the pod's own speed, or of that of its kind."""
        (self._own if is_own else self.kind).take_over(learned)
        self._choose_speed()

    def catch_up(self, backlog_s: float, wait_s: float, now_s: float) -> None:
        """Take over a replica's prefill backlog and predicted wait, if this one, which is new, knows less of either."""
        self.prefill_done_at_s = max(self.prefill_done_at_s, now_s + wait_s)
        self._set_prefill_backlog(max(self.prefill_backlog_s(now_s), backlog_s), now_s)

    def forget_totals(self) -> None:
        """Forget the totals: the engine has restarted and counts from 0."""
        self._totals, self._totals_s = NO_TOTALS, -inf

    @property
    def own_in_flight(self) -> int:
        """Requests in flight that this replica sent."""
        return self.in_flight - self.elsewhere.requests

    @property
    def sequences(self) -> int:
        """Our requests in flight as the engine counts them."""
        return self.in_flight + self.extra_sequences

    def busy_s(self, now_s: float) -> float:
        """Return the seconds in the window during which at least one request was in flight."""
        return _busy(self._busy_s, now_s - self._busy_seen_s, self.in_flight > 0)

    def processed_tokens(self, now_s: float) -> float:
        """Return the weighted tokens of requests that ended in the window."""
        return self._processed * exp(min(0.0, self._processed_s - now_s) / WINDOW_S)

    def recall(self, busy_s: float, processed: float, latency_s: float | None) -> None:
        """Take over the counts of a pod that was recorded, at time 0."""
        self._busy_s, self._processed = busy_s, processed
        self._latency = (latency_s, 1.0) if latency_s is not None else (0.0, 0.0)

    @property
    def latency_per_token_s(self) -> float | None:
        """See `PodView.latency_per_token_s`."""
        seconds, tokens = self._latency
        return seconds / tokens if tokens else None

    def prefill_backlog_s(self, now_s: float) -> float:
        """See `PodView.prefill_backlog_s`."""
        return max(0.0, self._prefill_backlog_s - self.prefill_share * max(0.0, now_s - self._prefill_backlog_at_s))

    def _choose_speed(self) -> None:
        self.speed = self._own if self._own.differs(self.kind) else self.kind

    def _process(self, cost: float, now_s: float) -> None:
        self._processed = self.processed_tokens(now_s) + cost
        self._processed_s = now_s

    def _shorten_wait(self, prefill_done_at_s: float) -> None:
        if prefill_done_at_s < self.prefill_done_at_s:
            self.prefill_done_at_s = prefill_done_at_s
            self._wait_fell = True

    def _drop_remainders(self) -> None:
        """Nothing of our own is in flight: the counts are what others have, without rounding errors."""
        _, prefill_tokens, self.output_tokens, self.resident_tokens, self.extra_sequences, _ = self.elsewhere
        self.prefill_tokens = float(prefill_tokens)

    def _become_idle(self, now_s: float) -> None:
        self.prefill_done_at_s = now_s
        self._set_prefill_backlog(0.0, now_s)

    def _set_prefill_backlog(self, prefill_backlog_s: float, now_s: float) -> None:
        self._prefill_backlog_s, self._prefill_backlog_at_s = prefill_backlog_s, now_s

    def _adjust_prefill_share(self, itl_s: float, max_step: float, now_s: float) -> None:
        """Lower the prefill share when the ITL is above the target, raise it when it is below."""
        self._set_prefill_share(next_share(self.prefill_share, itl_s, self._itl_target_s, max_step), now_s)
        self._share_changed = True

    def _set_prefill_share(self, share: float, now_s: float) -> None:
        self._set_prefill_backlog(self.prefill_backlog_s(now_s), now_s)
        self.prefill_share = share

    def _mark_busy(self, now_s: float) -> None:
        self._busy_s = self.busy_s(now_s)
        self._busy_seen_s = now_s


def _busy(busy_s: float, elapsed_s: float, is_busy: bool) -> float:
    decay = exp(-max(0.0, elapsed_s) / WINDOW_S)
    return busy_s * decay + (WINDOW_S * (1 - decay) if is_busy else 0.0)
