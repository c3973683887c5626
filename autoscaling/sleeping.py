"""Replicas that sleep: what becomes of those that are not wanted, and which come first when more are.

A sleeping replica keeps its place and gives its GPU's memory back; it serves again within seconds, where a new one
loads its model first.  Strategies decide how many replicas are awake; these rules say how to get there.

Lives here: the numbers.  Not here: which replicas, putting them to sleep and waking them (forebay.local, controllers).
"""

from typing import NamedTuple


class Moves(NamedTuple):
    """How many replicas do what."""

    wake: int = 0
    start: int = 0
    sleep: int = 0
    end: int = 0  # of those awake
    end_asleep: int = 0


def moves(desired: int, awake: int, asleep: int, keep: int) -> Moves:
    """Return the way from `awake` and `asleep` replicas to `desired` ones that are awake, at most `keep` asleep.

    Sleeping replicas are woken before new ones are started; those that are not wanted sleep as far as there is room.
    """
    wake = min(asleep, max(0, desired - awake))
    start = max(0, desired - awake - wake)
    unwanted = max(0, awake - desired)
    sleep = min(unwanted, max(0, keep - asleep))
    return Moves(wake, start, sleep, unwanted - sleep, max(0, asleep - wake - keep))
