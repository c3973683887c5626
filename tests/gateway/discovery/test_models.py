"""What `models` in the configuration means."""

from typing import Any

import pytest

from gateway.discovery.description import ModelPolicy
from gateway.discovery.models import InvalidFleetError, describe
from gateway.settings import ModelSettings
from routing.types import Endpoint


def a_model(name: str = "m", *endpoints: dict[str, Any], **fields: Any) -> ModelSettings:
    return ModelSettings.model_validate({"name": name, "endpoints": endpoints} | fields)


def problems(*models: ModelSettings) -> tuple[str, ...]:
    with pytest.raises(InvalidFleetError) as raised:
        describe(models)
    return raised.value.problems


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


def test_an_adapter_has_its_base_models_policy_unless_it_has_its_own() -> None:
    fleet = describe((
        a_model("x", strategy="least-request"),
        a_model("m", {"address": "10.0.0.1:80", "adapters": ["x", "y"]}, strategy="random", locked=True),
    ))  # fmt: skip

    assert fleet.models == {
        "x": ModelPolicy("least-request"),
        "m": ModelPolicy("random", locked=True),
        "y": ModelPolicy("random", locked=True),
    }


def test_one_name_at_two_addresses_is_refused_and_names_both() -> None:
    (problem,) = problems(
        a_model("m", {"address": "10.0.0.1:80", "name": "a"}, {"address": "10.0.0.2:80", "name": "a"})
    )

    assert "'a'" in problem
    assert "'10.0.0.1:80' or '10.0.0.2:80'" in problem


def test_one_engine_described_differently_is_refused_and_names_what_differs() -> None:
    pod = {"address": "10.0.0.1:80", "name": "a"}

    (problem,) = problems(a_model("m", pod | {"gpu": "L20"}), a_model("n", pod | {"gpu": "A10"}))

    assert problem.endswith("it has gpu_type 'L20' or 'A10'")


def test_one_address_under_two_names_is_refused_because_its_load_would_be_counted_in_halves() -> None:
    (problem,) = problems(
        a_model("m", {"address": "10.0.0.1:80", "name": "a"}), a_model("n", {"address": "10.0.0.1:80"})
    )

    assert problem == "address = '10.0.0.1:80', must have one name; it is called 'a' and '10.0.0.1:80'"


def test_all_problems_are_told_at_once() -> None:
    found = problems(
        a_model("m", strategy="fastest"),
        a_model("m", {"address": "10.0.0.1:80", "name": "a"}, {"address": "10.0.0.1:80", "name": "b"}),
    )

    assert found == (
        "model = 'm', must be listed once; it is listed 2 times",
        "model = 'm', routing strategy = 'fastest', must be one of: least-request, random",
        "address = '10.0.0.1:80', must have one name; it is called 'a' and 'b'",
    )
