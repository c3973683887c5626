"""What one simulated engine is: its model, its size and its speed.

Lives here: values and the table of GPU types.  Not here: what follows from them (timing, engine).
"""

from dataclasses import dataclass, field, replace

BLOCK_TOKENS = 16
"""Tokens per KV-cache block: vLLM's default on GPUs."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast tokens come.

    First token of a request: `ttft_s + uncached prompt tokens / prefill_tokens_per_s` after it starts to run.
    Every further one: `1 / tokens_per_s` later, however many requests run (a later model makes that depend on load).
    """

    ttft_s: float = 0.05
    prefill_tokens_per_s: float = 4000.0
    tokens_per_s: float = 50.0

    def __post_init__(self) -> None:
        if self.ttft_s < 0 or self.prefill_tokens_per_s <= 0 or self.tokens_per_s <= 0:
            raise ValueError(f"{self}: ttft_s must not be negative, rates must be positive")

    def times(self, factor: float) -> "Speed":
        """This speed, `factor` (> 0) times as fast in everything."""
        return Speed(self.ttft_s / factor, self.prefill_tokens_per_s * factor, self.tokens_per_s * factor)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU type as far as the timing here needs it, serving an 8B model in 16 bits (16 GB of weights)."""

    speed: Speed
    kv_blocks: int


GPUS = {
    "L4": Gpu(Speed(0.05, 3800.0, 19.0), 2900),
    "A10": Gpu(Speed(0.05, 3900.0, 37.0), 2900),
    "V100": Gpu(Speed(0.05, 3500.0, 56.0), 6400),
    "L20": Gpu(Speed(0.05, 3700.0, 54.0), 13400),
    "A100": Gpu(Speed(0.05, 9700.0, 127.0), 27400),
    "H100": Gpu(Speed(0.05, 31000.0, 209.0), 27400),
}
"""From data sheets, rounded: decode = memory bandwidth / 16 GB, prefill = half the dense 16-bit FLOPS / 16 GFLOP per
token, blocks = (0.92 x memory - 16 GB) / 128 KiB per token / 16.  Ratios between types, not a benchmark of any."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that distinguishes one simulated engine from another."""

    model: str
    name: str = ""
    """Printed at start; empty: the model."""
    adapters: tuple[str, ...] = ()
    """LoRA adapters that count as loaded; each is a model name of its own."""
    speed: Speed = field(default_factory=Speed)
    max_running: int = 1024
    """Sequences in the batch; others wait.  vLLM's default (`--max-num-seqs`) on large GPUs."""
    max_waiting: int | None = None
    """Requests that would wait beyond this many are refused with 503; None = never, vLLM's default."""
    max_model_len: int = 8192
    """Prompt and output tokens of one sequence together."""
    kv_blocks: int = 13400
    """KV-cache blocks; a sequence holds one per BLOCK_TOKENS tokens."""
    seed: int = 0
    """Same seed, same requests in the same order: same texts, lengths and ids."""

    def __post_init__(self) -> None:
        if self.max_running < 1 or self.kv_blocks * BLOCK_TOKENS < self.max_model_len:
            raise ValueError(
                f"max_running={self.max_running}, kv_blocks={self.kv_blocks}, max_model_len={self.max_model_len}: "
                "at least one sequence must run, and the longest must fit the KV cache"
            )


def on_gpu(profile: Profile, gpu: str) -> Profile:
    """`profile` with the speed and cache of GPU type `gpu`; ValueError names the known types."""
    if gpu not in GPUS:
        raise ValueError(f"gpu={gpu}, must be one of {', '.join(GPUS)}")
    return replace(profile, speed=GPUS[gpu].speed, kv_blocks=GPUS[gpu].kv_blocks)
