"""Drafts: the replicas that shares need, and which of two is better."""

from dataclasses import replace

from optimizer.solver.draft import draft_of, loads_of
from tests.support.cases import a_case, a_type

CASE = a_case([4.0, 1.0, 0.0], a_type("a", 1.0, [2.0, 1.0, 5.0]), a_type("b", 2.0, [8.0, 0.0, 20.0], lowest=1))


def test_a_draft_has_the_fewest_replicas_that_carry_its_shares():
    draft = draft_of(CASE, {(0, 0): 0.5, (0, 1): 1.0, (1, 0): 0.5})

    assert ((2, 1), (0.0, 0.0, 0.0)) == (draft.replicas, draft.unserved)
    assert [2.0, 0.25] == loads_of(CASE, draft.shares)


def test_what_is_shared_to_nobody_is_unserved():
    assert (0.5, 1.0, 0.0) == draft_of(CASE, {(0, 0): 0.5}).unserved


def test_next_to_no_load_needs_a_replica_too():
    assert (1, 1) == draft_of(CASE, {(0, 0): 1e-12}).replicas


def test_a_bucket_without_requests_is_shared_to_the_cheapest_type_that_is_there():
    both, one = draft_of(CASE, {}, [1, 1]), draft_of(CASE, {}, [1, 0])

    assert [(0.0, 1.0), (1.0, 0.0)] == [tuple(row[2] for row in draft.shares) for draft in (both, one)]
    assert [0.0, 0.0] == [row[2] for row in draft_of(CASE, {}, [0, 0]).shares]


def test_serving_more_comes_before_costing_less():
    cheap = draft_of(CASE, {(0, 0): 1.0})
    full = draft_of(CASE, {(0, 0): 1.0, (0, 1): 1.0})
    dear = replace(full, replicas=(9, 1))

    assert (True, False) == (full.is_better(cheap, CASE), cheap.is_better(full, CASE))
    assert (True, False, False) == (full.is_better(dear, CASE), dear.is_better(full, CASE), full.is_better(full, CASE))
