"""Statuses of adapters: one phase, conditions that say why, the pods that have it."""

import msgspec
import pytest

from controllers.modeladapter.objects import Adapter, AdapterStatus, Failure
from controllers.modeladapter.plan import Wish
from controllers.modeladapter.status import status_of
from tests.support.adapters import a_pod, an_adapter, probes

A, B = (probe.host for probe in probes((a_pod("a"), ()), (a_pod("b"), ())).values())
FAILED = Failure("a", 5, "no such path")


def said(status: AdapterStatus) -> dict[str, tuple[str, str]]:
    return {one.type: (one.status, one.reason) for one in status.conditions}


@pytest.mark.parametrize(
    ("wish", "failures", "clash", "phase"),
    [
        (Wish(), (), "", "Pending"),
        (Wish((A,), (A,)), (), "", "Scheduled"),
        (Wish((A,), (A,)), (FAILED,), "", "Failed"),
        (Wish((A,), (A,), (A,)), (), "", "Running"),
        (Wish((A, B), (A, B), (B,)), (FAILED,), "", "Running"),
        (Wish((A,), (A,), (A,)), (), "it is another's", "Bound"),
        (Wish(invalid="spec.artifactURL"), (), "", "Failed"),
    ],
)
def test_every_state_has_its_phase(wish: Wish, failures: tuple[Failure, ...], clash: str, phase: str):
    assert phase == status_of(an_adapter(), wish, failures, clash, 0.0).phase


def test_a_loaded_adapter_is_ready_on_its_pods():
    status = status_of(an_adapter(replicas=2), Wish((A, B), (A, B), (A,)), (), "", 0.0)

    assert (("a",), ("a", "b"), 2, 1) == (
        status.instances, status.candidates, status.desired_replicas, status.ready_replicas,
    )  # fmt: skip
    assert ("True", "ModelAdapterAvailable") == said(status)["Ready"]
    assert "1 of 2 replicas" == status.conditions[-1].message


def test_a_failure_is_told_in_the_engines_words():
    status = status_of(an_adapter(), Wish((A,), (A,)), (FAILED,), "", 0.0)

    assert ("False", "ModelAdapterLoadingError") == said(status)["Bound"] == said(status)["Ready"]
    assert "a, attempt 5: no such path" == status.conditions[-1].message


def test_one_that_lost_its_pods_migrates():
    adapter = an_adapter(status=AdapterStatus(instances=("gone",)))

    assert ("False", "AdapterMigrating") == said(status_of(adapter, Wish((A,), (A,)), (), "", 0.0))["Ready"]


def test_no_pod_is_told_with_the_selector():
    (scheduled,) = [one for one in status_of(an_adapter(), Wish(), (), "", 0.0).conditions if one.type == "Scheduled"]

    assert ("False", "NoPods") == (scheduled.status, scheduled.reason)
    assert "model.aibrix.ai/name=base" in scheduled.message


def test_another_port_than_an_older_adapter_says_is_told_with_both():
    status = status_of(an_adapter(), Wish(elsewhere=(A._replace(port=8001),)), (), "", 0.0)
    (scheduled,) = [one for one in status.conditions if one.type == "Scheduled"]

    assert ("Pending", "False", "PortConflict") == (status.phase, scheduled.status, scheduled.reason)
    assert "model.aibrix.ai/port = 8000, but an older adapter says 8001 for a" in scheduled.message


def test_what_did_not_change_is_the_same_and_survives_the_wire():
    adapter = an_adapter()
    first = status_of(adapter, Wish((A,), (A,), (A,)), (FAILED,), "", 1000.0)
    kept = msgspec.convert(msgspec.to_builtins(first), AdapterStatus)
    known = Adapter(adapter.metadata, adapter.spec, kept)

    assert first == kept == status_of(known, Wish((A,), (A,), (A,)), (FAILED,), "", 2000.0)
