"""Times as Kubernetes writes them."""

from kube.times import micro_timestamp, timestamp


def test_times_are_in_utc():
    assert ("2027-01-15T08:00:00Z", "2027-01-15T08:00:00.250000Z") == (
        timestamp(1_800_000_000.25),
        micro_timestamp(1_800_000_000.25),
    )
