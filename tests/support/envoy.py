"""A real Envoy with our configuration, between test clients, a stand-in gateway and test engines."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import httpx
import orjson

from forebay.local.envoy import READY_PATH, envoy_argv
from forebay.local.supervision.probes import answers_ok
from gateway.config.settings import EndpointSettings, EnvoySettings, ListenSettings, ModelSettings, Settings
from gateway.discovery.models import describe
from gateway.envoy.config import render
from tests.support.ports import free_address
from tests.support.processor import Processor, running


def settings_for(
    workers: Sequence[str], models: dict[str, dict[str, str]], envoy: dict[str, object] | None = None, **fields: object
) -> Settings:
    """Settings with free ports; `models` maps model name -> pod name -> address."""
    return Settings(
        listen=ListenSettings(workers=tuple(workers)),
        envoy=EnvoySettings.model_validate({"listen": free_address(), "admin": free_address(), **(envoy or {})}),
        models=tuple(a_model(name, pods) for name, pods in models.items()),
        **fields,  # type: ignore[arg-type]  # whatever the test sets, checked by pydantic
    )


def a_model(name: str, pods: dict[str, str]) -> ModelSettings:
    return ModelSettings(
        name=name, endpoints=tuple(EndpointSettings(name=pod, address=address) for pod, address in pods.items())
    )


def running_envoy(
    settings: Settings, directory: Path, **bootstrap: object
) -> contextlib.AbstractAsyncContextManager[str]:
    """Envoy started, ready and in the end stopped; yields its base URL.  `bootstrap` is added to its configuration."""
    return running_with({**render(settings, describe(settings.models)), **bootstrap}, settings, directory)


@contextlib.asynccontextmanager
async def running_with(
    bootstrap: Mapping[str, object], settings: Settings, directory: Path, *options: str
) -> AsyncIterator[str]:
    """The same with this configuration, whose addresses are those in the settings."""
    config = directory / "envoy.json"
    config.write_bytes(orjson.dumps(bootstrap, option=orjson.OPT_INDENT_2))
    argv = (*envoy_argv(settings, config, 1), *options)
    with (directory / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*argv, stdout=log, stderr=log)
        try:
            while not await answers_ok(settings.envoy.admin, READY_PATH):
                assert process.returncode is None, (directory / "envoy.log").read_text()
                await asyncio.sleep(0.05)
            yield f"http://{settings.envoy.listen}"
        finally:
            process.terminate()
            await process.wait()


@contextlib.asynccontextmanager
async def stack(
    directory: Path, processors: Sequence[Processor], models: dict[str, dict[str, str]], *, gateways: str = "",
    **fields: object,
) -> AsyncIterator[httpx.AsyncClient]:  # fmt: skip
    """Stand-in gateways started, Envoy before them, and a client of it; all ended with the block.

    They are workers of one gateway, or with `gateways` gateways on the hosts that it formats of an address.
    """
    async with contextlib.AsyncExitStack() as parts:
        workers = [(await parts.enter_async_context(running(processor))).address for processor in processors]
        if gateways:
            ports = [address.rpartition(":")[2] for address in workers]
            fields["envoy"] = {"gateways": [gateways.format(port) for port in ports]}
        settings = settings_for(workers, models, **fields)  # type: ignore[arg-type]  # passed on as it came
        url = await parts.enter_async_context(running_envoy(settings, directory))
        yield await parts.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False, timeout=30))
