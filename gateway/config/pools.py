"""The section `pools`: one's own engines first, others for what does not fit.

Lives here: the keys of a pool.  Not here: those of the whole file (settings), rules between keys (checks), the choice
of a pool for a request (routing.spill).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from gateway.config.apis import ApiSettings
from gateway.config.prices import Money, PriceSettings
from gateway.config.section import NO_FLAG, Section

MAX_PRIORITY = 1000
MAX_HOLD_S = 3600.0
"""Chosen: an hour; nobody waits longer for a session to come home."""

Priority = Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY), NO_FLAG]


class SpillSettings(Section):
    """The marks at which an engine is full, beside those of a promise; once all are, the next pool gets requests."""

    max_in_flight: Annotated[int | None, Field(ge=1, le=1_000_000), NO_FLAG] = None
    """The most requests in flight on one engine.  Absent: as many as the other marks allow.  Without it bursts between
    two scrapes of the engines' metrics go unnoticed."""
    max_waiting: Annotated[int, Field(ge=0, le=1_000_000), NO_FLAG] = 4
    """The most requests that wait in the engine itself, as it reports them.  A few always do: they came between two of
    its steps."""
    max_kv_usage: Annotated[float, Field(gt=0, le=1), NO_FLAG] = 0.9
    """The share of its KV cache from which the engine is full, as it reports it."""
    free_share: Annotated[float, Field(gt=0, le=1), NO_FLAG] = 0.75
    """The share of these marks below which a pool that was full is free again."""
    promise_share: Annotated[float, Field(gt=0, le=1), NO_FLAG] = 0.5
    """The share of the promised time to the first token from which requests go to the next pool.  More fills this one
    more, and keeps fewer promises; when all pools are that full, they are filled until the promise itself."""
    hold_s: Annotated[float, Field(ge=0, le=MAX_HOLD_S), NO_FLAG] = 5.0
    """How long the pool must be free until sessions and cached prompts in later pools are given up for it."""


class PoolSettings(Section):
    """A pool of engines.  Requests go to the pool of the lowest priority that is not full."""

    name: Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
    """The name that endpoints, pods (`forebay.io/pool`) and metrics have."""
    priority: Priority
    """Its rank, which no other pool has; a lower one is preferred."""
    cost_per_hour: Money = 0.0
    """The price of one of its replicas for an hour; 0 for one's own, which cost the same when they are idle."""
    prices: PriceSettings = PriceSettings()
    """The prices of tokens, for a pool that is paid by use."""
    cap: Annotated[int | None, Field(ge=0, le=1_000_000), NO_FLAG] = None
    """The most GPUs that there are in it, for simulations.  Absent: any number."""
    provisioning_delay_s: Annotated[float, Field(ge=0, le=86_400), NO_FLAG] = 0.0
    """The time from the order of a replica to its first answer, for simulations."""
    keep_warm_s: Annotated[float, Field(ge=0, le=86_400), NO_FLAG] = 0.0
    """How long a replica without work is to be kept; nothing reads it yet."""
    spill: SpillSettings = SpillSettings()
    api: ApiSettings | None = None
    """The API that serves the pool.  Absent: engines do."""


def own_pool(pools: Sequence[PoolSettings]) -> str:
    """Return the name of the preferred pool that is no API; empty where there is none."""
    own = [pool for pool in pools if pool.api is None]
    return min(own, key=lambda pool: pool.priority).name if own else ""


def api_models(pools: Sequence[PoolSettings], name: str) -> Mapping[str, str]:
    """Return the names that the API of a pool has for models, by ours; empty without such an API."""
    return next((pool.api.models for pool in pools if pool.name == name and pool.api is not None), {})
