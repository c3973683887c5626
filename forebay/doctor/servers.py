"""The servers that a configuration names: Redis, the gateway itself, its Envoy, the cluster's API server, the engines.

Lives here: asking each of them once, all at the same time; nothing is changed anywhere.  Not here: programs and
packages (machine), what an engine has to say (engines).
"""

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import orjson

from forebay.doctor.engines import engines
from forebay.doctor.finding import Finding, State
from forebay.local.asking import OK, TIMEOUT_S, NoAnswerError, ask
from forebay.local.port_owner import port_owner
from gateway.config.addresses import split_address
from gateway.config.kubernetes import KubernetesSettings
from gateway.config.settings import Settings
from ratelimit.accounts.users import Availability, UserStoreUnavailableError, store_client

_WHEN_AWAY = {
    "local": "each worker limits by its share of what it saw last",
    "deny": "requests get 503",
    "allow": "nothing is limited",
}


async def servers(settings: Settings) -> list[Finding]:
    """Return what was found at each server, in a fixed order."""
    questions: list[Awaitable[Finding]] = [_redis(settings), _gateway(settings), _envoy(settings)]
    if settings.kubernetes.enabled:
        questions.append(_api_server(settings.kubernetes))
    found, of_engines = await asyncio.gather(asyncio.gather(*questions), engines(settings))
    return [*found, *of_engines]


async def _redis(settings: Settings) -> Finding:
    """Ask Redis for its version and whether it keeps what it is told."""
    try:
        client: Any = store_client(settings.redis.url, cluster=settings.redis.cluster)
        try:
            async with Availability(TIMEOUT_S):
                said = await client.info()
        finally:
            await client.aclose()
    except UserStoreUnavailableError as error:
        text = f"{_place(settings.redis.url)}: {error}"
        return Finding(
            State.PROBLEM,
            "redis",
            text,
            f"start it, or change redis.url; until then {_WHEN_AWAY[settings.redis.when_away]}",
        )
    nodes = list(said.values()) if settings.redis.cluster else [said]
    text = f"{_place(settings.redis.url)}, version {nodes[0].get('redis_version', 'unknown')}"
    if any(node.get("maxmemory") and node.get("maxmemory_policy") != "noeviction" for node in nodes):
        return Finding(
            State.PROBLEM, "redis", f"{text}, evicts users and limits when full", "maxmemory-policy noeviction"
        )
    if not all(node.get("aof_enabled") for node in nodes):
        return Finding(State.NOTE, "redis", f"{text}, may lose users and budgets when it ends", "appendonly yes")
    return Finding(State.OK, "redis", text)


def _place(url: str) -> str:
    """Return a URL without its password."""
    return url.rpartition("@")[2].removeprefix("redis://").removeprefix("rediss://")


async def _gateway(settings: Settings) -> Finding:
    address = settings.listen.http
    if settings.listen.scheme("http") == "https":
        return Finding(
            State.NOTE, "gateway", f"{address} speaks TLS and was not asked", f"curl https://{address}/readyz"
        )
    try:
        answer = await ask(address, "/readyz")
        said = orjson.loads(answer.body)
    except NoAnswerError as error:
        return Finding(State.NOTE, "gateway", f"does not run: {error}", "forebay up, or forebay gateway --config FILE")
    except orjson.JSONDecodeError:
        owner = port_owner(split_address(address)[1])
        return Finding(State.PROBLEM, "gateway", f"{address} is served{owner or ' by something else'}", "listen.http")
    reasons = "; ".join(said.get("reasons", []))
    if answer.status != OK:
        return Finding(State.PROBLEM, "gateway", f"{address} takes no requests: {reasons}", f"http://{address}/debug/")
    notes = "; ".join(said.get("notes", []))
    return Finding(
        State.NOTE if notes else State.OK, "gateway", f"{address} takes requests{notes and f', but {notes}'}"
    )


async def _envoy(settings: Settings) -> Finding:
    address = settings.envoy.listen
    try:
        answer = await ask(settings.envoy.admin, "/ready")
    except NoAnswerError as error:
        return Finding(State.NOTE, "envoy", f"its administration does not answer: {error}", "forebay envoy-config")
    if answer.status != OK:
        return Finding(State.PROBLEM, "envoy", f"not ready, status {answer.status}", f"http://{settings.envoy.admin}/")
    return Finding(State.OK, "envoy", f"takes requests at {settings.envoy.scheme}://{address}")


async def _api_server(settings: KubernetesSettings) -> Finding:
    """Ask the cluster for the pods of models, as a gateway does."""
    try:
        from gateway.discovery.pods import PODS  # noqa: PLC0415 - its packages are an extra
        from kube.client import Client, Selection, connection  # noqa: PLC0415 - the same
        from kube.errors import ApiError, NoWayError  # noqa: PLC0415 - the same
    except ImportError as error:
        text = f"cannot be asked, {error.name} is not installed"
        return Finding(State.PROBLEM, "kubernetes", text, "pip install 'forebay[kubernetes]'")
    try:
        way = connection(Path(settings.kubeconfig) if settings.kubeconfig else None)
        async with Client(way, "forebay-doctor") as client:
            pods, _ = await client.list(PODS, Selection(settings.namespace, "model.aibrix.ai/name"))
    except (ApiError, NoWayError) as error:
        return Finding(State.PROBLEM, "kubernetes", str(error), "kubernetes.kubeconfig, or the role of the account")
    return Finding(State.OK, "kubernetes", f"{len(pods)} pods with the label of a model")
