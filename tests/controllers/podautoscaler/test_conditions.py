"""Conditions: all of them are there, and the first that is not well says why the autoscaler is not ready."""

import pytest

from controllers.podautoscaler.conditions import ABLE, ACTIVE, CONFLICT, READY, VALID, WARNING, Said, conditions


def truths(found: dict[str, Said], *notes: str) -> dict[str, str]:
    return {one.type: one.status for one in conditions(found, notes)}


def test_an_autoscaler_of_which_nothing_is_wrong_is_ready():
    assert {VALID: "True", CONFLICT: "False", ABLE: "True", ACTIVE: "True", READY: "True", WARNING: "False"} == truths(
        {}
    )


@pytest.mark.parametrize(
    ("kind", "said", "rest"),
    [
        (VALID, Said("False", "InvalidSpec", "spec.maxReplicas = 0"), {CONFLICT: "Unknown", ABLE: "Unknown"}),
        (CONFLICT, Said("True", "TargetIsTaken"), {VALID: "True", ABLE: "Unknown", ACTIVE: "Unknown"}),
        (ABLE, Said("False", "FailedGetScale"), {CONFLICT: "False", ACTIVE: "Unknown"}),
        (ACTIVE, Said("Unknown", "NotLookedAt"), {ABLE: "True"}),
    ],
)
def test_what_is_wrong_makes_it_not_ready_and_what_follows_unknown(kind: str, said: Said, rest: dict[str, str]):
    found = {one.type: one for one in conditions({kind: said})}

    assert ("False", said.reason, said.message) == (found[READY].status, found[READY].reason, found[READY].message)
    assert rest | {kind: said.status} == {name: found[name].status for name in (*rest, kind)}


def test_a_word_on_a_condition_that_is_well_leaves_it_ready():
    assert "True" == truths({ACTIVE: Said("True", "MetricsAreThere", "4 of 10 wait")})[READY]


def test_notes_are_a_warning_of_their_own():
    found = {one.type: one for one in conditions({}, ["A.", "B."])}

    assert ("True", "A. B.") == (found[WARNING].status, found[WARNING].message)
    assert "True" == found[READY].status
