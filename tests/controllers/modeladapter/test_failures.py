"""Attempts that failed: each pod waits longer, and a new leader waits on."""

from random import Random

from controllers.modeladapter.failures import Failures
from controllers.modeladapter.objects import AdapterStatus
from tests.support.adapters import an_adapter, by_key

KEY, POD = "default/lora", "default/a"


def test_each_failure_waits_longer_up_to_five_minutes():
    failures = Failures(Random(1))

    waits = [failures.add(KEY, POD, "no", 0.0) for _ in range(12)]

    assert 2.5 <= waits[0] <= 5.0 and all(150.0 <= wait <= 300.0 for wait in waits[-3:])
    assert (12, "no") == (failures.of(KEY)[0].attempts, failures.of(KEY)[0].message)


def test_a_new_leader_goes_on_waiting():
    old, new = Failures(Random(1)), Failures(Random(2))
    wait_s = old.add(KEY, POD, "no", 1000.0)
    adapter = an_adapter(status=AdapterStatus(failures=old.of(KEY)))

    new.know(by_key(adapter))

    assert old.of(KEY) == new.of(KEY)
    assert wait_s - 1.0 <= new.wait_s(KEY, POD, 1000.0) <= wait_s
    assert {(KEY, POD)} == new.pairs(1000.0) and not new.pairs(1010.0)


def test_what_is_over_is_forgotten():
    failures = Failures(Random(1))
    failures.add(KEY, POD, "no", 0.0)

    failures.keep({KEY}, {POD}, 1000.0)
    assert failures.of(KEY)
    failures.keep(set(), {POD}, 1000.0)
    assert not failures.of(KEY)

    failures.add(KEY, POD, "no", 0.0)
    failures.keep({KEY}, set(), 0.0)
    assert not failures.of(KEY)

    failures.add(KEY, POD, "no", 0.0)
    failures.forget(KEY, POD)
    assert 0.0 == failures.wait_s(KEY, POD, 0.0)
    failures.add(KEY, POD, "no", 0.0)
    failures.know({})
    assert not failures.of(KEY)
