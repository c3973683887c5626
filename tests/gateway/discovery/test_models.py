"""The fleet that `models` in the configuration describes."""

from typing import Any

import pytest

from gateway.config.settings import ModelSettings, Settings
from gateway.discovery.description import ModelPolicy
from gateway.discovery.models import describe, described
from routing.types import Endpoint


def a_model(name: str = "m", *endpoints: dict[str, Any], **fields: Any) -> ModelSettings:
    return ModelSettings.model_validate({"name": name, "endpoints": endpoints} | fields)


def test_an_endpoint_says_everything_the_configuration_said() -> None:
    fleet = describe((
        a_model("m", {
            "address": "10.0.0.1:80", "name": "pod-a", "engine": "sglang", "gpu": "L20", "pool": "cloud",
            "pool_priority": 2, "deployment": "d", "adapters": ["x"], "labels": {"tier": "gold"},
        }),
    ))  # fmt: skip

    assert fleet.endpoints == (
        Endpoint(
            id="pod-a", name="pod-a", address="10.0.0.1:80", models=("m", "x"), engine="sglang", deployment="d",
            gpu_type="L20", pool="cloud", pool_priority=2, labels={"tier": "gold"},
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "metrics"),
    [
        ({}, ""),
        ({"metric_path": ""}, ""),
        ({"metric_port": 9400}, "[::1]:9400"),
        ({"metric_path": "/m?x=1"}, "[::1]:80/m?x=1"),
        ({"metric_port": 9400, "metric_path": "/m"}, "[::1]:9400/m"),
    ],
)
def test_metrics_may_be_on_another_port_and_path(fields: dict[str, Any], metrics: str) -> None:
    (endpoint,) = describe((a_model("m", {"address": "[::1]:80"} | fields),)).endpoints

    assert endpoint.metrics == metrics


def test_an_endpoint_without_a_name_is_called_by_its_address() -> None:
    (endpoint,) = describe((a_model("m", {"address": "10.0.0.1:80"}),)).endpoints

    assert (endpoint.id, endpoint.name) == ("10.0.0.1:80", "10.0.0.1:80")


def test_a_model_without_endpoints_is_known() -> None:
    fleet = describe((a_model("m"),))

    assert (fleet.models, fleet.endpoints) == ({"m": ModelPolicy()}, ())


def test_no_models_is_an_empty_pool() -> None:
    assert (describe(()).models, describe(()).endpoints) == ({}, ())


def test_one_engine_under_two_models_is_one_endpoint_that_serves_both() -> None:
    pod = {"address": "10.0.0.1:80", "name": "a"}

    (endpoint,) = describe((a_model("m", pod | {"adapters": ["x"]}), a_model("n", pod))).endpoints

    assert endpoint.models == ("m", "x", "n")


def test_adapters_that_an_engine_lists_are_told_by_nobody_else() -> None:
    listing, naming = ({"address": "10.0.0.1:80", "adapters": adapters} for adapters in ("auto", ["x"]))
    fleet = describe((a_model("m", naming), a_model("n", listing)))

    assert {"m", "n", "x"} == fleet.models.keys()
    assert [(("m", "x", "n"), True)] == [(one.models, one.lists_adapters) for one in fleet.endpoints]
    assert not describe((a_model("m", naming),)).endpoints[0].lists_adapters


def test_an_adapter_has_its_base_models_policy() -> None:
    fleet = describe((
        a_model("m", {"address": "10.0.0.1:80", "adapters": ["x", "y"]}, strategy="random", locked=True),
    ))  # fmt: skip

    assert fleet.models == {
        "m": ModelPolicy("random", locked=True),
        "x": ModelPolicy("random", locked=True),
        "y": ModelPolicy("random", locked=True),
    }


def test_a_profile_changes_what_it_says_and_no_locked_strategy():
    profiles = [{"name": "fast", "strategy": "throughput"}, {"name": "slow", "rps": 1}]
    free = a_model("m", strategy="random", rps=9, profiles=profiles)
    locked = a_model("n", strategy="random", locked=True, profiles=profiles)

    policies = describe((free, locked)).models

    assert {"fast": ModelPolicy("throughput", rps=9), "slow": ModelPolicy("random", rps=1)} == policies["m"].profiles
    assert {"fast": ModelPolicy("random", locked=True), "slow": ModelPolicy("random", locked=True, rps=1)} == (
        policies["n"].profiles
    )


def test_a_model_says_that_somebody_starts_its_first_engine_and_its_profiles_change_nothing_of_that() -> None:
    profiles = [{"name": "batch", "strategy": "throughput"}]
    policy = describe((a_model("m", scales_from_zero=True, waits_for_adapters=True, profiles=profiles),)).models["m"]

    assert (
        ModelPolicy(scales_from_zero=True, waits_for_adapters=True, profiles={"batch": policy.profiles["batch"]})
        == policy
    )
    assert policy.profiles["batch"].scales_from_zero


def test_an_api_serves_each_of_its_models_as_a_pod_of_its_pool():
    pools = [{"name": "cloud", "priority": 3, "api": {"url": "https://a.test", "models": {"m": "x", "org/b": "y"}}}]
    settings = Settings.model_validate({"pools": pools, "models": [{"name": "m", "strategy": "random"}]})

    fleet = described(settings)

    assert [("cloud/m", "envoy://api-cloud/0", ("m",)), ("cloud/org/b", "envoy://api-cloud/1", ("org/b",))] == [
        (one.id, one.address, one.models) for one in fleet.endpoints
    ]
    assert {("cloud", "cloud", 3, True)} == {(o.name, o.pool, o.pool_priority, o.is_api) for o in fleet.endpoints}
    assert ["random", ""] == [fleet.models[name].strategy for name in ("m", "org/b")]
