import pytest

from simulator.core.adapters import AdapterLoadedError, Adapters, UnknownAdapterError


def test_the_base_model_needs_no_adapter_and_no_slot():
    adapters = Adapters(slots=1)
    adapters.check("")
    adapters.join("a")

    assert (False, True) == (adapters.fits("b"), adapters.fits(""))


def test_only_a_loaded_adapter_can_be_asked_for():
    adapters = Adapters(slots=1)
    adapters.load("a", "/a")
    adapters.check("a")
    adapters.unload("a")

    with pytest.raises(UnknownAdapterError):
        adapters.check("a")


def test_an_adapter_is_loaded_once_and_unloaded_once():
    adapters = Adapters(slots=1)
    adapters.load("a", "/a")

    with pytest.raises(AdapterLoadedError):
        adapters.load("a", "/a")
    with pytest.raises(UnknownAdapterError):
        adapters.unload("b")


def test_sequences_of_one_adapter_share_its_slot_until_the_last_leaves():
    adapters = Adapters(slots=1)
    adapters.join("a")
    adapters.join("a")
    adapters.leave("a")
    shared, taken = adapters.fits("a"), adapters.fits("b")
    adapters.leave("a")

    assert (True, False, True) == (shared, taken, adapters.fits("b"))
