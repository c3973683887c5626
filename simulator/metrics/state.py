"""The state of one engine and its counts since it started: the figures of /metrics, under no engine's names.

Not here: the names (vllm, sglang).
"""

from collections import Counter
from collections.abc import Iterable

from simulator.core.blocks import Change
from simulator.core.engine import Engine as EngineModel
from simulator.core.profile import Profile
from simulator.core.sequence import Sequence
from simulator.metrics.histogram import Histogram

# vLLM 0.32.0's buckets, as recorded
TTFT_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
                80.0, 160.0, 640.0, 2560.0)  # fmt: skip
ITL_BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
               80.0)  # fmt: skip
LATENCY_BUCKETS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
                   480.0, 960.0, 1920.0, 7680.0)  # fmt: skip

TOKEN_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)


class EngineState:
    """An engine model with its adapters loaded.  `started_at` is in Unix seconds; other times are the model's."""

    def __init__(self, profile: Profile, started_at: float, changes: list[Change] | None = None) -> None:
        self.profile = profile
        self.started_at = started_at
        self.model = EngineModel(profile.gpu, changes)
        for adapter in profile.adapters:
            self.model.adapters.load(adapter, adapter)
        self.sleep_level = 0  # 0: awake
        self.ending: tuple[Sequence, ...] = ()  # those that get their last token from the pass under way
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.generation_tokens = 0
        self.rejections = 0
        self.finished: Counter[str] = Counter()  # by reason
        self.finished_prompts = Histogram(TOKEN_BUCKETS)
        self.finished_outputs = Histogram(TOKEN_BUCKETS)
        self.ttft = Histogram(TTFT_BUCKETS)
        self.itl = Histogram(ITL_BUCKETS)
        self.latency = Histogram(LATENCY_BUCKETS)
        self.queue_time = Histogram(LATENCY_BUCKETS)

    @property
    def running(self) -> list[Sequence]:
        """The batch of the pass under way, those that end with it included."""
        return [*self.model.running, *self.ending]

    @property
    def deferred(self) -> int:
        """Number of waiting sequences that wait for an adapter slot."""
        return sum(not self.model.adapters.fits(sequence.adapter) for sequence in self.model.waiting)

    def token_made(self, sequence: Sequence, previous_s: float | None, now_s: float) -> None:
        """Count a token; `previous_s` is when the token before came, None = it is the first."""
        if previous_s is None:
            self.ttft.observe(max(0.0, now_s - sequence.arrived_s))
            self.prompt_tokens += sequence.prompt_tokens
            self.cached_tokens += sequence.cached_tokens
        else:
            self.itl.observe(now_s - previous_s)
        self.generation_tokens += sequence.output_tokens > 0

    def finish(self, sequence: Sequence, reason: str, now_s: float) -> None:
        """Count a sequence that has all its tokens (aborts are not counted, as recorded)."""
        self.finished[reason] += 1
        self.finished_prompts.observe(sequence.prompt_tokens)
        self.finished_outputs.observe(sequence.output_tokens)
        self.latency.observe(max(0.0, now_s - sequence.arrived_s))
        self.queue_time.observe(max(0.0, (sequence.started_s or 0.0) - sequence.arrived_s))


def adapters_of(sequences: Iterable[Sequence]) -> list[str]:
    """Return the adapters that these sequences use, each once, in the order of first use."""
    return list(dict.fromkeys(sequence.adapter for sequence in sequences if sequence.adapter))
