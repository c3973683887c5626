import pytest

from simulator.replay.outages import Outage, OutageKind, parse_outage


def test_an_outage_is_kind_pod_beginning_and_length():
    assert Outage(OutageKind.CRASH, "pod-3", 600.0, 0.5) == parse_outage("crash:pod-3:600:0.5")


@pytest.mark.parametrize(
    "text", ["", "sulk:pod-0:1:1", "stall:pod-0:1", "stall:pod-0:x:1", "stall:pod-0:-1:1", "crash:p:0:inf"]
)
def test_what_is_no_outage_is_refused(text):
    with pytest.raises(ValueError, match="fault = "):
        parse_outage(text)
