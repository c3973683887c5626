"""Replicas in virtual time: ordered, serving, drained, ended, paid for."""

import pytest

from forebay.local.mix.gpu_types import parse_mix
from forebay.simulation.elastic_fleet import ElasticFleet
from simulator.replay.replay import VirtualTime

L20, V100 = parse_mix("L20:3.6:0:2,V100:1.8:1:3")


class Clock(VirtualTime):
    def advance(self, to_s: float) -> None:
        while self.timer_s <= to_s:
            self.fire()
        self.now_s = to_s


def a_fleet() -> tuple[ElasticFleet, Clock]:
    time = Clock()
    return ElasticFleet((L20, V100), 30.0, time), time


def serving(fleet: ElasticFleet) -> list[str]:
    description = fleet.changed()
    return [] if description is None else [endpoint.id for endpoint in description.endpoints]


def counts(fleet: ElasticFleet) -> dict[str, tuple[int, int]]:
    return {each.name: (each.replicas, each.ready) for each in fleet.deployments()}


def test_a_replica_serves_when_its_start_up_time_is_over():
    fleet, time = a_fleet()
    fleet.adjust(V100, 2, 0.0)
    time.advance(29.0)

    assert {"l20": (0, 0), "v100": (2, 0)} == counts(fleet)
    assert fleet.changed() is None
    time.advance(31.0)
    assert {"l20": (0, 0), "v100": (2, 2)} == counts(fleet)
    assert ["v100-1", "v100-2"] == serving(fleet)


def test_the_youngest_goes_first_and_only_after_its_requests():
    fleet, time = a_fleet()
    fleet.adjust(V100, 2, 0.0, startup_s=0.0)
    serving(fleet)
    assert "v100" == fleet.take("v100-2")
    time.advance(100.0)
    fleet.adjust(V100, 1, 100.0)

    assert ["v100-1"] == serving(fleet)
    assert pytest.approx(2 * 1.8 * 300 / 3600) == fleet.paid(300.0)  # it drains, and is paid for
    fleet.give_back("v100-2", 200.0)
    assert pytest.approx(1.8 * (300 + 200) / 3600) == fleet.paid(300.0)
    assert {"l20": 0.0, "v100": pytest.approx(500 / 300)} == fleet.mean(300.0)


def test_a_replica_that_is_let_go_while_it_starts_never_serves():
    fleet, time = a_fleet()
    fleet.adjust(L20, 1, 0.0)
    fleet.adjust(L20, 0, 10.0)
    time.advance(60.0)

    assert fleet.changed() is None
    assert pytest.approx(3.6 * 10 / 3600) == fleet.paid(60.0)
    assert 1 == fleet.started


def test_deployments_say_what_the_optimizer_must_know():
    fleet, _ = a_fleet()
    l20, v100 = fleet.deployments()

    assert ("default/l20", "L20", 3.6, 0, 2) == (l20.key, l20.gpu, l20.cost, l20.min_replicas, l20.max_replicas)
    assert ("default/v100", 1, 3) == (v100.key, v100.min_replicas, v100.max_replicas)


def test_types_with_other_block_sizes_cannot_be_mixed():
    with pytest.raises(ValueError, match="one block size"):
        ElasticFleet(parse_mix("V100,published-fit"), 30.0, VirtualTime())
