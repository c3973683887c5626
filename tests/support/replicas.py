"""Replicas of one fleet in a test: each has an outbox, and what one tells another goes over the wire's form."""

import random
from typing import Any

from gateway.config.settings import RoutingSettings
from gateway.fleet.fleet import Fleet
from gateway.fleet.outbox import Outbox
from gateway.sharing.messages import Share, decode, encode
from tests.support.pods import a_description, an_endpoint


class Replica:
    """A fleet with an outbox, of pods with these names."""

    def __init__(self, name: str, *pods: str, rng: Any = None, settings: RoutingSettings | None = None) -> None:
        self.name = name
        self.outbox = Outbox(name)
        self.fleet = Fleet(settings or RoutingSettings(), rng or random.Random(1), outbox=self.outbox)
        self.fleet.replace(a_description(*map(an_endpoint, pods)))

    def take(self, now_s: float = 0.0) -> Share | None:
        """Its next message, as it arrives."""
        share = self.outbox.take(now_s)
        return None if share is None else sent(share)

    def hear(self, share: Share | None, now_s: float = 0.0) -> None:
        if share is not None:
            self.fleet.apply(share, now_s)

    def pod(self, name: str) -> Any:
        return next(pod for pod in self.fleet.pods() if pod.endpoint.id == name)


def sent(share: Share) -> Share:
    """The message as it arrives."""
    return decode(encode(share))


def heartbeat(replica: str) -> Share:
    return Share(replica, 1)


def acquainted(*replicas: Replica) -> None:
    """Have each hear of each, so that they begin to tell what they do."""
    for replica in replicas:
        for other in replicas:
            if other is not replica:
                replica.hear(heartbeat(other.name))


def exchange(*replicas: Replica, now_s: float = 0.0) -> None:
    """Have each tell all others what is new."""
    shares = [replica.take(now_s) for replica in replicas]
    for replica in replicas:
        for other, share in zip(replicas, shares, strict=True):
            if other is not replica:
                replica.hear(share, now_s)
