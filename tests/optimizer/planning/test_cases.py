"""Demand in buckets and grids, and what profiles offer for them."""

import pytest

from optimizer.planning.cases import Bucket, buckets_of, grid_of
from optimizer.planning.demand import Demand


def test_a_bucket_has_the_mean_lengths_of_its_requests():
    demand = Demand(8.0, {(70, 60): 0.25, (71, 60): 0.25, (80, 60): 0.5})

    assert (
        Bucket(pytest.approx((128 + 2**7.1) / 2), pytest.approx(64.0), 4.0),
        Bucket(pytest.approx(256.0), pytest.approx(64.0), 4.0),
    ) == buckets_of(demand)


def test_a_grid_has_every_doubling_between_the_shortest_and_the_longest():
    demand = Demand(8.0, {(70, 60): 0.5, (91, 75): 0.5})

    grid = grid_of(demand)

    assert ((2**6.45, 2**7.45), (2**7.45, 2**8.45, 2**9.45)) == (grid.outputs, grid.inputs)
    assert set(buckets_of(demand)) == {bucket for bucket in grid.buckets if bucket.rate}
    assert [4.0, 0, 0, 0, 0, 4.0] == [bucket.rate for bucket in grid.buckets]
    assert Bucket(2**8.45, 2**6.45, 0.0) == grid.buckets[1]


def test_a_demand_without_lengths_has_no_cells():
    assert ((), (), ()) == (
        grid_of(Demand(1.0, {})).outputs,
        grid_of(Demand(1.0, {})).inputs,
        buckets_of(Demand(1, {})),
    )
