"""Engine models of a size at which a test can count: every pass takes a second.

Lives here: builders with defaults.  Not here: replays (fleet_replay).
"""

from collections.abc import Sequence as Series
from typing import Any

from simulator.core.engine import Engine, Step
from simulator.core.gpus import GpuProfile
from simulator.core.sequence import Sequence
from simulator.core.speed import LinearSpeed

A_SECOND_A_PASS = LinearSpeed(a=1.0, b=0.0, c=0.0, d=0.0, e=0.0)
FIELDS: dict[str, Any] = {
    "speed": A_SECOND_A_PASS, "kv_blocks": 100, "block_tokens": 4, "pass_tokens": 32, "max_running": 4,
}  # fmt: skip


def an_engine(**fields: Any) -> Engine:
    """100 blocks of 4 tokens, 32 tokens a pass, 4 sequences."""
    return Engine(GpuProfile(**(FIELDS | fields)))


def a_sequence(prompt: int = 8, output: int = 4, hashes: Series[int] = (), **fields: Any) -> Sequence:
    """8 tokens in, 4 out."""
    return Sequence(prompt, output, hashes, **fields)


def steps(engine: Engine, count: int, now_s: float = 0.0) -> list[Step]:
    """So many passes, one after the other."""
    done = []
    for _ in range(count):
        step = engine.step(now_s)
        assert step is not None
        now_s += step.duration_s
        done.append(step)
    return done


def run_out(engine: Engine, *added: Sequence, now_s: float = 0.0) -> float:
    """Add sequences and let the engine do all it has; return when it was done."""
    for sequence in added:
        engine.add(sequence, now_s)
    while (step := engine.step(now_s)) is not None:
        now_s += step.duration_s
    return now_s


def held(engine: Engine) -> int:
    """Blocks that its sequences hold, those that they share counted once."""
    shared = {block for sequence in engine.running for block in sequence.hashes[: sequence.hashed]}
    return len(shared) + sum(sequence.blocks - sequence.hashed for sequence in engine.running)
