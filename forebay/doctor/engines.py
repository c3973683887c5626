"""The engines of a configuration: whether they are healthy, serve their model and tell their metrics.

Lives here: the questions that a gateway asks too, each once.  Not here: pods of a cluster, which their probes check.
"""

import asyncio
from collections.abc import Container, Iterator, Sequence

from forebay.doctor.finding import Finding, State
from forebay.local.asking import OK, NoAnswerError, ask
from gateway.config.settings import ModelSettings, Settings
from gateway.discovery.models import described
from gateway.discovery.probing.engine_metrics import ENGINES, parse
from gateway.discovery.probing.model_lists import PATH, listed
from routing.types import Endpoint

AT_ONCE = 50
"""Engines that are asked at the same time (chosen: below every limit of open files)."""
_SERVER_ERROR = 500


async def engines(settings: Settings) -> list[Finding]:
    """Return a finding for each engine, and one for each model without any."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(engine: Endpoint) -> Finding:
        async with gate:
            return await _engine(engine, settings)

    fleet = described(settings)
    found = await asyncio.gather(*map(one, fleet.engines))
    served = {name for endpoint in fleet.endpoints for name in endpoint.models}
    return [*found, *_without_engines(settings.models, served)]


def _without_engines(models: Sequence[ModelSettings], served: Container[str]) -> Iterator[Finding]:
    for model in models:
        if model.name not in served and not model.scales_from_zero:
            yield Finding(State.PROBLEM, f"model {model.name}", "has no engine: requests get 503", "models: endpoints")


async def _engine(engine: Endpoint, settings: Settings) -> Finding:
    subject, model = f"engine {engine.name}", engine.models[0]
    try:
        health = await ask(engine.address, settings.health.path)
        if health.status >= _SERVER_ERROR:
            return Finding(State.PROBLEM, subject, f"{settings.health.path} answers {health.status}", "see its log")
        flaw = await _wrong_model(model, engine) or await _silent_metrics(engine, settings.scrape.path)
    except NoAnswerError as error:
        return Finding(State.PROBLEM, subject, str(error), "start it, or change its address")
    return flaw._replace(subject=subject) if flaw else Finding(State.OK, subject, f"{engine.address} serves {model}")


async def _wrong_model(model: str, engine: Endpoint) -> Finding | None:
    answer = await ask(engine.address, PATH)
    if answer.status != OK:
        return None  # not every server lists its models, and some want a key for it
    try:
        names = listed(answer.body).lengths
    except (ValueError, TypeError):
        return Finding(State.NOTE, "", f"{PATH} is no list of models")
    if model in names:
        return None
    return Finding(State.PROBLEM, "", f"serves {', '.join(names) or 'nothing'}, not {model}", "rename it in models")


async def _silent_metrics(engine: Endpoint, usual_path: str) -> Finding | None:
    if engine.engine not in ENGINES:
        return None
    address, slash, path = (engine.metrics or engine.address).partition("/")
    page = await ask(address, slash + path or usual_path)
    if page.status == OK and parse(page.body, engine.engine).signals:
        return None
    text = f"its page of metrics has none of {engine.engine} (status {page.status}): the gateway goes by its own counts"
    return Finding(State.NOTE, "", text, "engine, metric_port or metric_path in models; SGLang: --enable-metrics")
