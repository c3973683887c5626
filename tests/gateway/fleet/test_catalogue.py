from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.fleet.catalogue import Catalogue
from gateway.openai.answers import ModelCard
from tests.support.pods import a_fleet, an_endpoint


def test_a_model_is_known_since_it_was_first_seen_and_forgotten_when_it_goes():
    fleet = a_fleet(an_endpoint("a"))
    now_s = [10.9]
    catalogue = Catalogue(fleet, lambda: now_s[0])
    [(name, since, _)] = catalogue.cards()
    assert 10 == since

    now_s[0] = 20.0
    fleet.replace(FleetDescription({name: ModelPolicy(), "new": ModelPolicy()}, (an_endpoint("a"),)))
    assert [ModelCard(name, 10), ModelCard("new", 20)] == catalogue.cards()

    fleet.replace(FleetDescription({"new": ModelPolicy()}))
    now_s[0] = 30.0
    fleet.replace(FleetDescription({name: ModelPolicy(), "new": ModelPolicy()}))
    assert {"new": 20} == {card.name: card.created_s for card in catalogue.cards() if card.name == "new"}


def test_a_model_takes_what_all_its_pods_take_and_an_adapter_what_its_base_model_takes():
    endpoints = [an_endpoint(name, models=("m", "adapter")) for name in "ab"]
    fleet = a_fleet(*endpoints)
    catalogue = Catalogue(fleet, lambda: 1.0)
    assert {None} == {card.max_model_len for card in catalogue.cards()}

    fleet.set_model_lengths("a", {"m": 8192})
    fleet.set_model_lengths("b", {"m": 4096, "adapter": 2048})

    assert {"m": 4096, "adapter": 2048} == {card.name: card.max_model_len for card in catalogue.cards()}


def test_aliases_are_listed_and_whether_a_model_has_a_ready_pod_is_told() -> None:
    fleet = a_fleet(an_endpoint("a"), models=("m", "bare"))
    catalogue = Catalogue(fleet, lambda: 1.0, ("alias",))

    assert ["m", "bare", "alias"] == [card.name for card in catalogue.cards()]
    assert [True, False, False] == [catalogue.serves(model) for model in ("m", "bare", "unknown")]
    fleet.set_health("a", False)
    assert not catalogue.serves("m")
