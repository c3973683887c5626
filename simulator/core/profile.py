"""The configuration of one simulated engine: its model, its GPU profile and its limits.

Not here: GPU profiles (gpus, simulator.calibration.gpu_file), the engine (engine, simulator.serving).
"""

from dataclasses import dataclass

from simulator.core.gpus import GpuProfile, gpu_profile

DEFAULT_GPU = gpu_profile("H100")
"""The fastest built-in profile, so that an engine started without a profile is not the bottleneck (chosen)."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The configuration of one simulated engine."""

    model: str
    name: str = ""
    """Name printed at the start; empty: that of the model."""
    adapters: tuple[str, ...] = ()
    """LoRA adapters that are loaded; the name of each is a model name too."""
    gpu: GpuProfile = DEFAULT_GPU
    max_waiting: int | None = None
    """Maximum number of waiting requests; further ones are refused with 503.  None = unlimited, vLLM's default."""
    max_model_len: int = 8192
    """Maximum prompt and output tokens of one sequence together."""
    seed: int = 0
    """The same seed and the same requests in the same order give the same texts, lengths and ids."""
    metrics: str = "vllm"
    """The engine whose names /metrics uses: vllm | sglang."""

    def __post_init__(self) -> None:
        if self.gpu.kv_blocks * self.gpu.block_tokens < self.max_model_len:
            raise ValueError(
                f"kv_blocks = {self.gpu.kv_blocks} of {self.gpu.block_tokens} tokens, max_model_len = "
                f"{self.max_model_len}: the longest sequence must fit the KV cache"
            )
