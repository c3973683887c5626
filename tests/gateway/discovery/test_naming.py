"""The models of endpoints that nothing names."""

from dataclasses import replace

from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.discovery.naming import ModelNames
from gateway.discovery.probing.model_lists import Listing
from routing.types import Endpoint

NAMED = Endpoint("n/a", "a", "10.0.0.1:8000", ("m",), started_at=1.0)
UNNAMED = Endpoint("n/b", "b", "10.0.0.2:8000", (), started_at=1.0)


OPEN = Endpoint("n/c", "c", "10.0.0.3:8000", ("m", "named"), lists_adapters=True)


def listing(*models: str, adapters: tuple[str, ...] = ()) -> Listing:
    return Listing(dict.fromkeys(models), adapters)


def a_fleet(*endpoints: Endpoint) -> FleetDescription:
    return FleetDescription({"m": ModelPolicy()}, endpoints, {"o": 1})


def test_a_description_that_names_all_models_stays_as_it_is():
    names, fleet = ModelNames(), a_fleet(NAMED)
    assert fleet is names.describe(fleet)
    assert None is names.learn("n/a", listing("other"))
    assert None is names.learn("unknown", listing("other"))


def test_an_endpoint_without_models_comes_in_with_those_that_its_engine_lists():
    names = ModelNames()
    assert a_fleet(NAMED) == names.describe(a_fleet(NAMED, UNNAMED))

    assert a_fleet(NAMED, replace(UNNAMED, models=("x", "lora"))) == names.learn("n/b", listing("x", "lora"))
    assert None is names.learn("n/b", listing("x", "lora"))
    assert a_fleet(NAMED, replace(UNNAMED, models=("x",))) == names.learn("n/b", listing("x"))
    assert a_fleet(NAMED) == names.learn("n/b", listing())


def test_what_was_learned_stays_with_the_pod_and_goes_with_it():
    names = ModelNames()
    names.describe(a_fleet(UNNAMED))
    names.learn("n/b", listing("x"))

    changed = replace(UNNAMED, ready=False)
    assert a_fleet(replace(changed, models=("x",))) == names.describe(a_fleet(changed))
    assert a_fleet() == names.describe(a_fleet(replace(UNNAMED, started_at=2.0)))
    names.learn("n/b", listing("y"))
    assert a_fleet() == names.describe(a_fleet())
    assert a_fleet() == names.describe(a_fleet(replace(UNNAMED, started_at=2.0)))


def test_an_endpoint_that_lists_its_adapters_has_them_beside_its_own_models_with_their_policy():
    names, policy = ModelNames(), ModelPolicy(rps=3)
    fleet = FleetDescription({"m": policy}, (OPEN,))
    names.describe(fleet)

    learned = names.learn("n/c", listing("m", "alias", "lora", adapters=("lora", "named")))

    assert learned is not None
    assert (("m", "named", "lora"),) == tuple(endpoint.models for endpoint in learned.endpoints)
    assert {"m": policy, "named": policy, "lora": policy} == learned.models
    assert None is names.learn("n/c", listing("m", "lora", adapters=("lora", "named")))
    assert fleet.endpoints == (gone.endpoints if (gone := names.learn("n/c", listing("m"))) else ())


def test_adapters_that_are_to_be_loaded_are_known_before_an_engine_has_them_with_what_their_base_says():
    names, policy = ModelNames(), ModelPolicy(rps=3, waits_for_adapters=True)
    fleet = FleetDescription({"m": policy}, (OPEN,))
    names.describe(fleet)

    wanted = names.want({"lora": "m", "of-nobody": "other", "m": "m"})
    assert {"m": policy, "named": policy.of_adapter(), "lora": policy.of_adapter()} == wanted.models
    assert (True, False) == (policy.of_adapter().scales_from_zero, policy.scales_from_zero)
    assert {"m": "m", "named": "m", "lora": "m"} == wanted.bases()

    assert {"m", "lora"} == names.describe(FleetDescription({"m": policy})).models.keys()
    assert {"m"} == names.want({}).models.keys()
