"""Placement of LoRA adapters: which engines load which adapter, so that they are spread as a policy says.

All adapters are placed in one look.  An adapter stays where it is loaded as long as that engine is there, but the
default policy moves one at a time from an engine that has two more than another: so ten adapters over four engines
stay even while engines come and go.

Lives here: the choice.  Not here: loading and unloading (controllers.modeladapter, gateway.admin).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from math import inf
from typing import NamedTuple, Protocol


class Policy(StrEnum):
    """How an engine is chosen for an adapter; the names are those of AIBrix."""

    LEAST_ADAPTERS = "leastAdapters"
    BIN_PACK = "binPack"
    RANDOM = "random"
    LEAST_LATENCY = "leastLatency"
    LEAST_THROUGHPUT = "leastThroughput"


DEFAULT = "default"
"""The name by which an adapter asks for the policy that is set for all: LEAST_ADAPTERS unless something else is."""


class Host(NamedTuple):
    """An engine that may load adapters."""

    name: str
    slots: int | None = None  # adapters that it serves without swapping; None = it does not say
    latency_s: float | None = None  # mean time of its requests; None = not known
    tokens_per_s: float | None = None  # that it computes now; None = not known


class Ask(NamedTuple):
    """An adapter that wants to be loaded."""

    name: str
    replicas: int  # engines that should have it
    hosts: Sequence[str]  # those that may
    loaded: Sequence[str] = ()  # those that have it, or are loading it, the oldest first
    policy: Policy = Policy.LEAST_ADAPTERS


class Rng(Protocol):
    """The part of random.Random that is used."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...


def policy_of(name: str) -> Policy | None:
    """Return the policy of a name, in AIBrix's spelling or with hyphens; None for one that does not exist."""
    plain = name.replace("-", "").replace("_", "").lower()
    if plain in ("", DEFAULT):
        return Policy.LEAST_ADAPTERS
    return next((policy for policy in Policy if policy.lower() == plain), None)


def place(asks: Iterable[Ask], hosts: Iterable[Host], rng: Rng) -> Mapping[str, tuple[str, ...]]:
    """Return the engines of every adapter, by its name; fewer than it asks for where there are no more.

    An engine whose slots are taken is chosen only when all are: it swaps adapters, which is slow and works.  Adapters
    are placed in the order of `asks`, those that are loaded first of all.  O(adapters x hosts).
    """
    table = _Table({host.name: host for host in hosts}, rng)
    ordered = list(asks)
    for ask in ordered:
        table.keep(ask)
    for ask in ordered:
        table.fill(ask)
    table.balance(ordered)
    return {name: tuple(placed) for name, placed in table.placed.items()}


class _Table:
    """The engines of all adapters, while they are chosen."""

    def __init__(self, hosts: Mapping[str, Host], rng: Rng) -> None:
        self._hosts, self._rng = hosts, rng
        self._counts: Counter[str] = Counter()
        self.placed: dict[str, list[str]] = {}

    def keep(self, ask: Ask) -> None:
        """Leave an adapter where it is, as far as it may be there and asks for so many."""
        stay = [name for name in ask.loaded if name in ask.hosts and name in self._hosts]
        self.placed[ask.name] = stay[: ask.replicas]
        self._counts.update(self.placed[ask.name])

    def fill(self, ask: Ask) -> None:
        """Choose engines for the replicas that an adapter lacks."""
        placed = self.placed[ask.name]
        while len(placed) < ask.replicas and (others := self._others(ask)):
            chosen = min(others, key=lambda host: self._rank(ask.policy, host)).name
            placed.append(chosen)
            self._counts[chosen] += 1

    def balance(self, asks: Sequence[Ask]) -> None:
        """Move one adapter of the default policy from the fullest engine to the emptiest, where that evens them out."""
        moves = [
            (self._counts[source] - self._counts[host.name], ask.name, source, host.name)
            for ask in asks
            if ask.policy is Policy.LEAST_ADAPTERS
            for source in self.placed[ask.name]
            if source in ask.loaded
            for host in self._others(ask)
            if not self._is_full(host.name) or self._swaps(source)
        ]
        gain, name, source, target = max(moves, default=(0, "", "", ""))
        if gain > 1:
            self.placed[name][self.placed[name].index(source)] = target

    def _others(self, ask: Ask) -> list[Host]:
        """Return the engines that an adapter may be loaded on and is not placed on."""
        placed = self.placed[ask.name]
        return [self._hosts[name] for name in ask.hosts if name in self._hosts and name not in placed]

    def _rank(self, policy: Policy, host: Host) -> tuple[bool, float, float, float]:
        """Return what the chosen engine has the least of; ties go to the one with fewer adapters, then by chance."""
        count = self._counts[host.name]
        first = {
            Policy.LEAST_ADAPTERS: float(count),
            Policy.BIN_PACK: float(-count),
            Policy.RANDOM: 0.0,
            Policy.LEAST_LATENCY: inf if host.latency_s is None else host.latency_s,
            Policy.LEAST_THROUGHPUT: inf if host.tokens_per_s is None else host.tokens_per_s,
        }[policy]
        return self._is_full(host.name), first, 0.0 if policy is Policy.RANDOM else float(count), self._rng.random()

    def _is_full(self, name: str) -> bool:
        slots = self._hosts[name].slots
        return slots is not None and self._counts[name] >= slots

    def _swaps(self, name: str) -> bool:
        slots = self._hosts[name].slots
        return slots is not None and self._counts[name] > slots
