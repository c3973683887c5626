"""The optimizer of `forebay up --mix`: its process, and the replicas that it publishes.

Lives here: its command line, asking it.  Not here: what it decides (optimizer), following it (fleet).
"""

import sys
from functools import partial
from pathlib import Path

from forebay.local.configuration import Addresses
from forebay.local.mix.gpu_types import GpuType
from forebay.local.supervision.probes import answers_ok
from forebay.local.supervision.process import ProcessSpec
from gateway.discovery.probing.http_get import AnswerError, get
from optimizer.profiles.capacity import Slo

_PAGE_BYTES = 64 * 1024
_OK = 200
PER_REPLICA = 100
"""The published value of one replica (docs/contracts.md, section 6)."""
_SAMPLE = b"vllm:deployment_replicas"


MIX_STRATEGY = "slo"
"""Routes by the optimizer's hints."""
DECIDE_S, IDLE_S = 5.0, 30.0
"""Seconds between two decisions, and without requests until the least replicas (chosen: a laptop's user wants to see
it; clusters take 30 and 300)."""


def optimizer_spec(addresses: Addresses, slo: Slo, deployments: Path, logs: Path) -> ProcessSpec:
    """Describe the optimizer's process: it reads traces from Redis, and deployments from a file."""
    address, redis = addresses.optimizer, f"redis://{addresses.redis}/0"
    argv = [sys.executable, "-m", "forebay", "optimizer", "--listen", address, "--port-is-held", "--redis", redis]
    argv += ["--deployments", str(deployments), "--profiles", "bundled", "--slo", slo_text(slo)]
    argv += ["--decide-every", str(DECIDE_S), "--idle-after", str(IDLE_S)]
    ready = partial(answers_ok, address, "/healthz")
    return ProcessSpec("optimizer", "optimizer", argv, address, ready, log=logs / "optimizer.log")


def slo_text(slo: Slo) -> str:
    """Return targets as options have them."""
    targets = (("ttft", slo.ttft_s), ("itl", slo.itl_s), ("e2e", slo.e2e_s))
    return ",".join(f"{name}={value:g}" for name, value in targets if value is not None)


class NotToldError(Exception):
    """The optimizer does not say how many replicas a deployment should have; the message says why."""


async def published_replicas(address: str, gpu: GpuType) -> int:
    """Return the replicas that the optimizer at `host:port` publishes for a type.  Raises NotToldError."""
    try:
        answer = await get(address, f"/metrics/default/{gpu.deployment}", limit_bytes=_PAGE_BYTES)
    except (AnswerError, OSError) as error:
        raise NotToldError(f"the optimizer does not answer: {error}") from error
    if answer.status != _OK:
        raise NotToldError(f"the optimizer has no plan for {gpu.deployment} yet: status {answer.status}")
    for line in answer.body.splitlines():
        if line.startswith(_SAMPLE):
            return _replicas(line)
    raise NotToldError(f"the optimizer says nothing about {gpu.deployment}")


def _replicas(sample: bytes) -> int:
    """Return whole replicas, rounded up."""
    try:
        value = float(sample.rpartition(b" ")[2])
        return -int(-value // PER_REPLICA)
    except (ValueError, OverflowError) as error:
        raise NotToldError(f"the optimizer publishes no number: {sample!r}") from error
