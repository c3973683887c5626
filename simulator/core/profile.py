"""What one simulated engine is: its model, its GPU and what it serves.

Lives here: values.  Not here: GPU profiles (core.gpus, gpu_file), what follows from them (core, engine).
"""

from dataclasses import dataclass

from simulator.core.gpus import GpuProfile, gpu_profile

DEFAULT_GPU = gpu_profile("H100")
"""The fastest, so that whoever names none waits least."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that distinguishes one simulated engine from another."""

    model: str
    name: str = ""
    """Printed at start; empty: the model."""
    adapters: tuple[str, ...] = ()
    """LoRA adapters that are loaded; each is a model name of its own."""
    gpu: GpuProfile = DEFAULT_GPU
    max_waiting: int | None = None
    """Requests that would wait beyond this many are refused with 503; None = never, vLLM's default."""
    max_model_len: int = 8192
    """Prompt and output tokens of one sequence together."""
    seed: int = 0
    """Same seed, same requests in the same order: same texts, lengths and ids."""
    metrics: str = "vllm"
    """Whose names /metrics has: vllm | sglang."""

    def __post_init__(self) -> None:
        if self.gpu.kv_blocks * self.gpu.block_tokens < self.max_model_len:
            raise ValueError(
                f"kv_blocks = {self.gpu.kv_blocks} of {self.gpu.block_tokens} tokens, max_model_len = "
                f"{self.max_model_len}: the longest sequence must fit the KV cache"
            )
