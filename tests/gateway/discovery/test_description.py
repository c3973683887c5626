"""The description of a fleet that discoveries make."""

from gateway.discovery.description import Discovery, FleetDescription, ModelPolicy
from gateway.discovery.static import StaticModels
from tests.support.pods import a_description, an_endpoint


def test_a_description_without_more_is_an_empty_pool() -> None:
    assert FleetDescription() == FleetDescription({}, ())


def test_a_policy_without_more_is_the_gateways_default_and_open_to_the_header() -> None:
    assert ModelPolicy() == ModelPolicy(strategy="", locked=False)


def test_a_static_configuration_is_a_discovery() -> None:
    discovery: Discovery = StaticModels(())

    assert discovery is not None


def test_adapters_have_the_base_model_of_an_engine_that_has_them() -> None:
    description = a_description(
        an_endpoint("a", models=("base", "lora", "other")),
        an_endpoint("b", models=("other",)),
        models=["base", "lora", "unloaded"],
    )

    assert {"base": "base", "lora": "base", "other": "other", "unloaded": None} == description.bases()
    assert {} == FleetDescription().bases()
