"""The discovery that the settings ask for."""

from pathlib import Path

import pytest

from gateway.config.kubernetes import KubernetesSettings
from gateway.config.loading import ConfigurationError
from gateway.config.pools import MAX_PRIORITY
from gateway.config.settings import ModelSettings, Settings
from gateway.discovery.kubernetes import KubernetesPods
from gateway.discovery.models import describe, pooled
from gateway.discovery.pools import InferencePools
from gateway.discovery.sources import Completed, discovery_for
from gateway.discovery.static import ModelsFile, StaticModels
from gateway.openai.rewrites import Rewrite, Sticky, Target
from routing.table import STRATEGIES


async def models_of(settings: Settings, environ: dict[str, str]) -> list[str]:
    """The models of the first fleet."""
    discovery = discovery_for(settings, environ, STRATEGIES, lambda _reload: None)
    return list((await anext(aiter(discovery.watch()))).models)


def test_each_way_to_list_models_has_its_discovery() -> None:
    kinds = [
        type(discovery_for(settings, {}, STRATEGIES, lambda _reload: None))
        for settings in (Settings(), Settings(models_file="fleet.yaml"))
    ]

    assert kinds == [StaticModels, ModelsFile]


async def test_models_in_the_configuration_are_the_fleet() -> None:
    assert await models_of(Settings(models=(ModelSettings(name="m"),)), {}) == ["m"]


async def test_a_models_file_is_read_with_the_given_environment_and_checked_for_strategies(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    settings = Settings(models_file=str(file))

    file.write_text("- name: ${MODEL}\n")
    assert await models_of(settings, {"MODEL": "m"}) == ["m"]

    file.write_text("- {name: m, strategy: no-such-strategy}\n")
    with pytest.raises(ConfigurationError, match="no-such-strategy"):
        await models_of(settings, {})


def test_pods_of_a_cluster_have_a_discovery_of_their_own() -> None:
    settings = Settings(kubernetes=KubernetesSettings(enabled=True))

    assert isinstance(discovery_for(settings, {}, STRATEGIES, lambda _reload: None), KubernetesPods)


async def test_objectives_and_rewrites_of_the_configuration_go_with_every_fleet() -> None:
    objectives, rewrites = ({"name": "o", "priority": 3},), ({"models": ("m",), "targets": ({"model": "v"},)},)
    settings = Settings.model_validate({"picker": {"objectives": objectives, "rewrites": rewrites}})

    fleets = [fleet async for fleet in discovery_for(settings, {}, STRATEGIES, lambda _reload: None).watch()]

    assert [({"o": 3}, (Rewrite(("m",), (Target("v"),)),))] == [(one.objectives, one.rewrites) for one in fleets]


async def test_aliases_come_before_other_rewrites() -> None:
    settings = Settings.model_validate({
        "picker": {"rewrites": [{"models": ["m"], "targets": [{"model": "v"}]}]},
        "aliases": [{"name": "m", "targets": [{"model": "w", "weight": 2}], "sticky": "user", "fallbacks": ["f"]}],
    })  # fmt: skip

    [fleet] = [fleet async for fleet in discovery_for(settings, {}, STRATEGIES, lambda _reload: None).watch()]

    alias = Rewrite(("m",), (Target("w", 2),), Sticky.USER, ("f",))
    assert (alias, Rewrite(("m",), (Target("v"),))) == fleet.rewrites


async def test_pools_of_the_configuration_go_with_every_fleet_and_what_is_in_none_comes_last() -> None:
    endpoints = [{"address": f"10.0.0.{n}:1", "pool": pool} for n, pool in enumerate(("own", "cloud", "other"))]
    settings = Settings.model_validate({
        "pools": [{"name": "own", "priority": 5}, {"name": "cloud", "priority": 7}],
        "models_file": "fleet.yaml",
    })  # fmt: skip
    fleet = describe((ModelSettings.model_validate({"name": "m", "endpoints": endpoints}),))

    completed = pooled(fleet, settings.pools)

    assert [5, 7, MAX_PRIORITY + 1] == [endpoint.pool_priority for endpoint in completed.endpoints]
    assert {pool.name: pool for pool in settings.pools} == completed.pools
    assert isinstance(discovery_for(settings, {}, STRATEGIES, lambda _reload: None), Completed)


def test_a_gateway_that_is_a_picker_follows_pools() -> None:
    settings = Settings.model_validate({"kubernetes": {"enabled": True}, "picker": {"service": "n/forebay"}})

    assert isinstance(discovery_for(settings, {}, STRATEGIES, lambda _reload: None), InferencePools)
