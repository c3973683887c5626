"""Waits between attempts."""

from random import Random

from kube.backoff import Backoff

BACKOFF = Backoff(first_s=0.1, cap_s=10.0)


def test_each_wait_is_up_to_twice_as_long_until_the_cap():
    longest = [max(BACKOFF.wait_s(failures, Random(seed)) for seed in range(200)) for failures in (1, 2, 3, 8, 10_000)]

    assert [0.1, 0.2, 0.4, 10.0, 10.0] == [round(wait_s, 1) for wait_s in longest]


def test_no_wait_is_shorter_than_half():
    assert all(BACKOFF.wait_s(3, Random(seed)) >= 0.2 for seed in range(200))
