"""The engines of `forebay up --mix`, as many of each type as the optimizer publishes.

Lives here: following the optimizer, and the file that tells it of the engines.  Not here: the life of an engine
(forebay.local.fleet), asking the optimizer (optimizer).
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forebay.local.configuration import Addresses
from forebay.local.eds_file import PrintLine
from forebay.local.engines import MODEL
from forebay.local.fleet import ANSWER_S, LocalFleet
from forebay.local.mix.gpu_types import GpuType, Mix
from forebay.local.mix.optimizer import NotToldError, optimizer_spec, published_replicas
from forebay.local.ports import Ports
from forebay.local.supervision.process import ProcessSpec
from forebay.local.supervision.supervisor import Supervisor
from gateway.config.pools import PoolSettings

POLL_S = 0.5
"""Seconds between two questions to the optimizer (chosen: a fraction of its period)."""


class MixFleet(LocalFleet):
    """The engines of all types, and DIR/deployments.yaml, which lists them beside DIR/models.yaml."""

    def __init__(
        self, mix: Mix, directory: Path, ports: Ports, supervisor: Supervisor, print_line: PrintLine, *,
        pools: Sequence[PoolSettings] = (),
    ) -> None:  # fmt: skip
        self.deployments_file = directory / "deployments.yaml"
        self._mix = mix
        self._silence = "it has just been started"
        super().__init__(directory, ports, supervisor, print_line, role="mix", startup_s=mix.startup_s, pools=pools)

    async def start_least(self) -> None:
        """Start the least replicas of each type, ready at once.  Raises StartError."""
        await self.start({gpu: gpu.min_replicas for gpu in self._mix.gpus})

    def optimizer_spec(self, addresses: Addresses) -> ProcessSpec:
        """Describe the process of the optimizer that plans for this fleet."""
        return optimizer_spec(addresses, self._mix.slo, self.deployments_file, self._directory / "logs")

    def follow(self, optimizer: str) -> None:
        """Do what the optimizer at `host:port` publishes, from now on."""
        self.begin(self._follow(optimizer), "follow the optimizer")

    async def _follow(self, optimizer: str) -> None:
        while True:
            try:
                async with asyncio.timeout(ANSWER_S):
                    wanted = {gpu: await published_replicas(optimizer, gpu) for gpu in self._mix.gpus}
            except (NotToldError, TimeoutError) as error:
                self._say_silence(str(error) or "the optimizer does not answer in time")
            else:
                self._say_silence("")
                for gpu, replicas in wanted.items():
                    self.adjust(gpu, min(replicas, gpu.max_replicas))
            self.write()  # again, should the disk have been full
            await asyncio.sleep(POLL_S)

    def _say_silence(self, why: str) -> None:
        """Say when the optimizer falls silent, and when it is back; meanwhile all engines stay."""
        if bool(why) != bool(self._silence):
            self.say(f"{why}; the engines stay as they are" if why else "has a plan")
        self._silence = why

    def _files(self) -> dict[Path, object]:
        deployments = {"deployments": [self._deployment(gpu) for gpu in self._mix.gpus]}
        return {**super()._files(), self.deployments_file: deployments}

    def _deployment(self, gpu: GpuType) -> dict[str, Any]:
        there = self.wanted(gpu)
        return {
            "name": gpu.deployment,
            "model": MODEL,
            "replicas": len(there),
            "ready": sum(engine.is_serving for engine in there),
            "min_replicas": gpu.min_replicas,
            "max_replicas": gpu.max_replicas,
            "gpu": gpu.label,
            "cost": gpu.cost,
        }
