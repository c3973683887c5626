"""The model of the adapters that a pod has loaded."""

from routing.pods.adapters import NO_USE, Adapters, AdapterUse


def loaded(adapters: Adapters) -> set[str]:
    return {name for name in ("a", "b", "c") if adapters.is_loaded(name)}


def with_slots(slots: int) -> Adapters:
    adapters = Adapters()
    adapters.observe(AdapterUse(slots=slots))
    return adapters


def test_an_adapter_stays_loaded_until_another_one_needs_its_slot() -> None:
    adapters = with_slots(2)
    for name in ("a", "b", "a", "c"):
        adapters.use(name)

    assert loaded(adapters) == {"a", "c"}


def test_an_engine_that_reports_no_slots_has_one() -> None:
    adapters = Adapters()
    adapters.use("a")
    adapters.use("b")

    assert loaded(adapters) == {"b"}


def test_an_adapter_of_a_request_in_flight_is_being_loaded_and_takes_no_slot_before_it_is_answered() -> None:
    adapters = Adapters()
    adapters.use("a")
    adapters.start("b")
    assert loaded(adapters) == {"a", "b"}

    adapters.end("b", used=False)
    assert loaded(adapters) == {"a"}

    adapters.start("b")
    adapters.end("b", used=True)
    assert loaded(adapters) == {"b"}


def test_metrics_tell_what_others_use() -> None:
    adapters = with_slots(2)
    adapters.use("c")
    adapters.observe(AdapterUse(frozenset({"b"}), {"a": 10.0, "b": 20.0}, 2))
    assert loaded(adapters) == {"a", "b"}

    adapters.use("c")
    adapters.observe(AdapterUse(frozenset(), {"a": 10.0, "b": 20.0}, 2))  # no use since
    assert loaded(adapters) == {"b", "c"}


def test_what_runs_is_loaded_however_few_slots_there_are() -> None:
    adapters = Adapters()
    adapters.observe(AdapterUse(frozenset({"a", "b"}), {"a": 10.0, "b": 10.0}, 1))

    assert loaded(adapters) == {"a", "b"}


def test_a_restart_forgets_all_but_requests_in_flight() -> None:
    adapters = Adapters()
    adapters.observe(AdapterUse(frozenset({"a"}), {"a": 10.0}, 1))
    adapters.start("b")
    adapters.clear()
    assert loaded(adapters) == {"b"}

    adapters.observe(NO_USE)
    adapters.end("b", used=False)
    assert loaded(adapters) == set()
