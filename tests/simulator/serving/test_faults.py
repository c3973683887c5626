import pytest
from pydantic import ValidationError

from simulator.serving.faults import Fault, FaultKind, Faults


def some_faults(*faults):
    pending = Faults()
    for fault in faults:
        pending.add(fault)
    return pending


def kinds_met(faults, requests, **how):
    return [fault and fault.kind for fault in (faults.take(**how) for _ in range(requests))]


def test_each_request_meets_the_next_fault_until_its_times_are_used_up():
    faults = some_faults(Fault(kind="error", times=2), Fault(kind="cut"))

    assert [FaultKind.ERROR, FaultKind.ERROR, FaultKind.CUT, None] == kinds_met(faults, 4)


def test_a_fault_without_times_stays_until_cleared():
    faults = some_faults(Fault(kind="stall", times=None))
    assert [FaultKind.STALL] * 3 == kinds_met(faults, 3)

    faults.clear()

    assert [None] == kinds_met(faults, 1)


def test_health_checks_and_requests_meet_only_their_own_faults():
    faults = some_faults(Fault(kind="unhealthy"), Fault(kind="error"))

    assert [FaultKind.ERROR, None] == kinds_met(faults, 2)
    assert [FaultKind.UNHEALTHY, None] == kinds_met(faults, 2, health_check=True)


@pytest.mark.parametrize("body", [{"kind": "sulk"}, {"kind": "cut", "times": 0}, {"kind": "cut", "after": 3}])
def test_a_fault_that_is_not_one_is_refused(body):
    with pytest.raises(ValidationError):
        Fault.model_validate(body)
