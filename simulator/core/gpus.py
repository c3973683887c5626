"""GPU profiles: the size of an engine's batch and cache and the coefficients of its speed.

Lives here: the numbers and their sources.  Not here: the formulas (speed), their use (engine).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from simulator.core.speed import FittedSpeed, LinearSpeed, Speed

BLOCK_TOKENS = 16
"""vLLM's default on GPUs."""


@dataclass(frozen=True, slots=True)
class GpuProfile:
    """The sizes and the speed of an engine on a GPU."""

    speed: Speed
    kv_blocks: int
    block_tokens: int = BLOCK_TOKENS
    pass_tokens: int = 2048
    """Maximum new tokens of a pass (`--max-num-batched-tokens`)."""
    max_running: int = 256
    """Maximum sequences in the batch (`--max-num-seqs`).  Both are vLLM's defaults for its server on A100 and smaller
    GPUs."""
    adapter_slots: int = 1
    """Maximum number of different LoRA adapters in one batch (`--max-loras`); vLLM's default."""

    def __post_init__(self) -> None:
        if self.pass_tokens <= self.max_running or min(self.kv_blocks, self.max_running, self.adapter_slots) < 1:
            raise ValueError(f"{self}: must have pass_tokens > max_running and at least 1 of each other size")


MODEL_PARAMETERS = 8.03e9
MODEL_BYTES = 2 * MODEL_PARAMETERS
KV_BYTES_PER_TOKEN = 131_072
ATTENTION_FLOP = 4 * 32 * 4096
"""Llama 3.1 8B in 16 bits, from its published configuration: 32 layers of width 4096, 8 KV heads of 128.  Attention
takes two products of two operations for each pair of a new token and a token that it attends to."""

FLOPS_SHARE = 0.5
BANDWIDTH_SHARE = 0.8
PASS_OVERHEAD_S = 0.002
SEQUENCE_OVERHEAD_S = 2e-5
"""Chosen: the shares of a data sheet's figures that well-tuned dense models commonly reach, and the seconds that
scheduling and sampling take on the host.  The profiles tell GPU types apart; they are no benchmark of any."""

MEMORY_SHARE = 0.92
"""vLLM 0.32's default `--gpu-memory-utilization`."""


VOLTA_FLOPS_SHARE = 0.3
"""On Volta: Megatron-LM sustains 39 of a V100's 125 TFLOP/s (arXiv 1909.08053, section 5.1), and FlashAttention 2 does
not run there."""


def from_data_sheet(
    *, memory_gb: float, bandwidth_gb_s: float, tflops: float, flops_share: float = FLOPS_SHARE
) -> GpuProfile:
    """Return the profile of a GPU that serves the 8B model; `tflops` are dense in 16 bits, 1 GB = 10^9 bytes."""
    flop_s, byte_s = tflops * 1e12 * flops_share, bandwidth_gb_s * 1e9 * BANDWIDTH_SHARE
    speed = LinearSpeed(
        a=PASS_OVERHEAD_S + MODEL_BYTES / byte_s,
        b=2 * MODEL_PARAMETERS / flop_s,
        c=ATTENTION_FLOP / flop_s,
        d=KV_BYTES_PER_TOKEN / byte_s,
        e=SEQUENCE_OVERHEAD_S,
    )
    kv_tokens = (MEMORY_SHARE * memory_gb * 1e9 - MODEL_BYTES) / KV_BYTES_PER_TOKEN
    return GpuProfile(speed, kv_blocks=int(kv_tokens / BLOCK_TOKENS))


GPUS: Mapping[str, GpuProfile] = {
    # From NVIDIA's data sheets; tensor-core FP16 without sparsity
    "L4": from_data_sheet(memory_gb=24, bandwidth_gb_s=300, tflops=121),
    "A10": from_data_sheet(memory_gb=24, bandwidth_gb_s=600, tflops=125),
    # PCIe, 32 GB
    "V100": from_data_sheet(memory_gb=32, bandwidth_gb_s=900, tflops=112, flops_share=VOLTA_FLOPS_SHARE),
    "L20": from_data_sheet(memory_gb=48, bandwidth_gb_s=864, tflops=119.5),
    "A100": from_data_sheet(memory_gb=80, bandwidth_gb_s=2039, tflops=312),  # SXM, 80 GB
    # SXM; vLLM's defaults for its server on GPUs of this size
    "H100": replace(from_data_sheet(memory_gb=80, bandwidth_gb_s=3350, tflops=989), pass_tokens=8192, max_running=1024),
    # The default timing model of NVIDIA Dynamo's mock engine: polynomials fitted to a real one, and its default sizes
    "published-fit": GpuProfile(
        FittedSpeed((4.209989e-7, 1.518344e-2, 16.50142), (-25.74, 54.01, 5.74), kv_tokens=16_384 * 64),
        kv_blocks=16_384,
        block_tokens=64,
        pass_tokens=8192,
    ),
}


def gpu_profile(name: str) -> GpuProfile:
    """Return the built-in profile of that name.  Raises ValueError with the valid names."""
    if name not in GPUS:
        raise ValueError(f"gpu = {name!r}, must be one of: {', '.join(GPUS)}")
    return GPUS[name]


def resized(
    profile: GpuProfile, *, max_running: int | None = None, kv_blocks: int | None = None,
    block_tokens: int | None = None,
) -> GpuProfile:  # fmt: skip
    """Return a profile with other sizes, None = as it is; a fitted speed goes by the share of the new cache.

    Raises ValueError for sizes that no engine can have.
    """
    changed = replace(
        profile,
        max_running=max_running or profile.max_running,
        kv_blocks=kv_blocks or profile.kv_blocks,
        block_tokens=block_tokens or profile.block_tokens,
    )
    if isinstance(profile.speed, FittedSpeed):
        return replace(changed, speed=replace(profile.speed, kv_tokens=changed.kv_blocks * changed.block_tokens))
    return changed
