"""How a list of conditions changes."""

from kube.conditions import MESSAGE_BYTES, Condition, is_true, with_conditions

READY = Condition("Ready", "True", "Routed", "2 pods", 1, "2027-01-15T08:00:00Z")
LATER_S = 1_800_000_060


def test_the_time_moves_only_with_the_status():
    same, other = (
        with_conditions([READY], [Condition("Ready", status, "NoPods", "0 pods")], 2, LATER_S)
        for status in ("True", "False")
    )

    assert (Condition("Ready", "True", "NoPods", "0 pods", 2, "2027-01-15T08:00:00Z"),) == same
    assert (Condition("Ready", "False", "NoPods", "0 pods", 2, "2027-01-15T08:01:00Z"),) == other


def test_what_is_said_again_changes_nothing():
    assert (READY,) == with_conditions((READY,), [Condition("Ready", "True", "Routed", "2 pods")], 1, LATER_S)


def test_conditions_of_others_stay_in_their_places():
    said = [Condition("Valid", "False", "NoPort")]

    after = with_conditions([READY], said, 1, LATER_S)

    assert ["Ready", "Valid"] == [condition.type for condition in after]
    assert READY == after[0]


def test_a_message_is_as_long_as_the_api_takes():
    (condition,) = with_conditions([], [Condition("Ready", "True", "Routed", "ü" * MESSAGE_BYTES)], 1, LATER_S)

    assert MESSAGE_BYTES == len(condition.message.encode())


def test_only_true_is_true():
    unknown = Condition("Live", "Unknown", "NotAsked")

    assert (True, False, False) == tuple(is_true([READY, unknown], kind) for kind in ("Ready", "Live", "Absent"))
