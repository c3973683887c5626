"""Calibration by engines' counters: what is learned from clean scrapes, and what never spoils it."""

from dataclasses import dataclass, field
from random import Random

import pytest

from gateway.accounting.calibration import MAX_ENDS, REPORT_DELAY_S, Calibration, KnownEnd
from gateway.accounting.estimates import Estimator, PromptSize
from gateway.accounting.stream_sizes import StreamShape, StreamSize
from gateway.config.limits import LimitSettings
from routing.pods.engine_totals import FinishedTotals
from routing.types import PodId

POD = PodId("a")
CHAT = StreamShape("/v1/chat/completions")
PROMPT_RATE, EVENT_BYTES = 0.6, 350
"""The tokens per byte of prompt and the bytes of an event of the engine at hand."""


@dataclass
class Engine:
    """Counts what finishes, and is scraped now and then; ends are known here `delay_s` later."""

    calibration: Calibration
    rng: Random
    delay_s: float = 0.05
    now_s: float = 100.0
    estimator: Estimator = field(default_factory=lambda: Estimator(LimitSettings()))
    requests: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    is_whole: bool = True

    def scrape(self, requests: int | None = None) -> None:
        """The engine is asked for its counters."""
        counted = self.requests if requests is None else requests
        totals = FinishedTotals(counted, self.prompt_tokens, self.output_tokens, self.is_whole)
        self.calibration.counted(POD, totals, self.now_s)
        self.now_s += 1

    def finish(self, *, known: bool = False, complete: bool = True, ours: bool = True) -> tuple[int, int]:
        """A stream ends; return its tokens."""
        text_bytes, output = 20 + int(self.rng.lognormvariate(6, 1)), 1 + int(self.rng.lognormvariate(4, 1))
        prompt = 12 + round(text_bytes * PROMPT_RATE)
        size = StreamSize(300 + output * EVENT_BYTES, 1, int(known))
        if complete:
            self.requests += 1
        self.prompt_tokens += prompt
        self.output_tokens += output
        self.now_s += self.delay_s
        if ours:
            end = KnownEnd(
                self.estimator,
                PromptSize(text_bytes, 0),
                prompt if known else None,
                CHAT,
                size,
                output if known else None,
                complete,
            )
            self.calibration.ended(POD, end, self.now_s)
        return prompt, output

    def settle(self) -> None:
        """Time passes until every end is known."""
        self.now_s += 1

    def error(self) -> tuple[float, float]:
        """Return by how much prompts and outputs of 100 streams are estimated too high, as parts of the truth."""
        sums = [0.0, 0.0, 0.0, 0.0]
        for _ in range(100):
            text_bytes, output = 20 + int(self.rng.lognormvariate(6, 1)), 1 + int(self.rng.lognormvariate(4, 1))
            size = StreamSize(300 + output * EVENT_BYTES, 1, 0)
            sums[0] += 12 + round(text_bytes * PROMPT_RATE)
            sums[1] += self.estimator.likely_prompt_tokens(PromptSize(text_bytes, 0))
            sums[2] += output
            sums[3] += round(self.estimator.streams.tokens(CHAT, size))
        return sums[1] / sums[0] - 1, sums[3] / sums[2] - 1


def an_engine(seed: int = 1, workers: int = 1) -> Engine:
    engine = Engine(Calibration(lambda: workers), Random(seed))
    engine.scrape()
    return engine


def calibrated(engine: Engine) -> bool:
    return all(abs(error) < 0.02 for error in engine.error())


def is_as_at_first(engine: Engine) -> bool:
    return all(abs(error) > 0.3 for error in engine.error())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("known", [0, 2])
def test_streams_that_nobody_asked_about_are_learned_from_the_engines_counters(seed: int, known: int):
    engine = an_engine(seed)
    assert is_as_at_first(engine)
    for _ in range(100):
        for number in range(engine.rng.randint(0, 4 + known)):
            engine.finish(known=number < known)
        engine.settle()
        engine.scrape()
    assert calibrated(engine)


def test_a_scrape_between_the_count_and_the_report_of_an_end_divides_nothing():
    engine = an_engine()
    engine.delay_s = 0.0
    for _ in range(100):
        for _ in range(engine.rng.randint(0, 4)):
            engine.finish()
        engine.requests += 1  # finished, and known only after the scrape
        engine.now_s -= 1
        engine.scrape()
        engine.now_s -= 1 - REPORT_DELAY_S / 2
        engine.requests -= 1
        engine.finish()
        engine.settle()
        engine.scrape()
        engine.now_s += 1
    assert calibrated(engine)


def test_clients_beside_the_gateway_spoil_nothing():
    engine = an_engine()
    for _ in range(60):
        engine.finish()
        engine.finish(ours=False)
        engine.settle()
        engine.scrape()
    assert is_as_at_first(engine)


@pytest.mark.parametrize("counts", [True, False])
def test_streams_that_were_cut_teach_nothing(counts: bool):
    engine = an_engine()
    for _ in range(60):
        engine.finish()
        engine.finish(complete=False)
        engine.requests += counts
        engine.settle()
        engine.scrape()
    assert is_as_at_first(engine)


def test_an_engine_that_restarts_begins_anew():
    engine = an_engine()
    for _ in range(60):
        engine.finish()
        engine.settle()
        engine.scrape()
        engine.requests = engine.prompt_tokens = engine.output_tokens = 0
        engine.scrape()
    assert is_as_at_first(engine)


def test_counters_that_include_requests_which_still_run_are_not_compared():
    engine = an_engine()
    engine.is_whole = False
    for _ in range(60):
        engine.finish()
        engine.settle()
        engine.scrape()
    assert is_as_at_first(engine)


def test_an_engine_that_does_not_tell_teaches_nothing():
    engine = an_engine()
    for _ in range(30):
        engine.finish()
        engine.settle()
        engine.calibration.counted(POD, None, engine.now_s)
    assert is_as_at_first(engine)


def test_of_several_workers_each_learns_from_its_share():
    engine = an_engine(workers=2)
    for _ in range(600):
        for _ in range(4):
            engine.finish()
            engine.finish(ours=False)
        engine.settle()
        engine.scrape()
    assert all(abs(error) < 0.1 for error in engine.error())


def test_a_busy_pod_costs_a_bounded_amount_of_memory():
    engine = an_engine()
    for _ in range(3 * MAX_ENDS):
        engine.finish()
    interval = engine.calibration._intervals[POD]
    assert MAX_ENDS >= len(interval.before) + len(interval.after)
    engine.calibration.forget(set())
    assert {} == engine.calibration._intervals
