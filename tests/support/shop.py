"""An admission with everything behind it in memory: a clock to turn, users to set, a fleet of three pods."""

import random
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.accounting.calibration import Calibration
from gateway.accounting.deliveries import Deliveries, Post
from gateway.accounting.ledger import Ledger
from gateway.admission.admit import Admission, exchange_ids
from gateway.admission.identity import Identity
from gateway.admission.inquiries import Inquiries
from gateway.admission.pending import LoopTimer
from gateway.admission.plan import Planner
from gateway.admission.queue import AdmissionQueue
from gateway.admission.reply import Replies
from gateway.admission.tolls import Tolls
from gateway.config.settings import Settings
from gateway.extproc.commands import Admit, Identify
from gateway.extproc.events import Answered, Identified, Refused, Routed
from gateway.fleet.catalogue import Catalogue
from gateway.fleet.fleet import Fleet
from gateway.observability.metrics import Metrics
from gateway.openai.operations import Operation
from gateway.openai.request import parse_request
from gateway.openai.rewrites import Rewrites
from gateway.serving.service import Service
from ratelimit.accounts.sender import Sender
from ratelimit.kinds import Amounts
from ratelimit.limits import Charge, Limiter, LimiterUnavailableError, Reservation, Usage, User, Verdict
from ratelimit.memory import MemoryLimiter
from ratelimit.questions import failed
from routing.table import STRATEGIES
from tests.support.pods import MODEL, a_fleet, an_endpoint
from traffic.counts import Counts

CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}


class NoPost:
    """A worker without siblings."""

    def alive(self, replica: str) -> bool:
        return False

    async def send(self, replica: str, payload: bytes) -> None:
        raise OSError(replica)


class AwayLimiter:
    """A limiter whose store never answers."""

    def reserve(self, charge: Charge) -> Awaitable[Verdict]:
        return failed(LimiterUnavailableError(charge.user))

    async def settle(
        self, reservation: Reservation, used: Amounts, changes: Mapping[str, Amounts] | None = None
    ) -> None:
        raise LimiterUnavailableError(reservation.user)

    def release(self, reservation: Reservation) -> None:
        """It has no permit to give back."""

    def check(self, charge: Charge) -> Awaitable[Verdict]:
        return failed(LimiterUnavailableError(charge.user))

    async def usage(self, user: str) -> Usage | None:
        raise LimiterUnavailableError(user)


REPLICA = "0123456789ab"
UNIX_S = 1_800_000_000.0


@dataclass
class Shop:
    """Change `now_s` and `users` at will."""

    settings: Settings = field(default_factory=Settings)
    now_s: float = 1000.0
    users: dict[str, User] = field(default_factory=dict)
    limiter: Limiter | None = None
    keys: dict[str, Sender] = field(default_factory=dict)
    away: bool = False
    pods: str = "abc"
    """Names of the pods, each of a letter."""

    def __post_init__(self) -> None:
        self.fleet: Fleet = a_fleet(*map(an_endpoint, self.pods), settings=self.settings.routing)
        self.metrics = Metrics(STRATEGIES)
        self.metrics.add_models(self.fleet.models())
        if self.limiter is None:  # an empty one is false
            self.limiter = MemoryLimiter(self.users.get, self.clock)
        self.queue = AdmissionQueue(
            self.fleet, self.settings.routing, LoopTimer(self.clock), from_zero=self.settings.scale_from_zero
        )
        self.calibration = Calibration(lambda: 1)
        grace_s = self.settings.limits.settle_grace_s
        self.traffic = Counts()
        self.traffic.follow(dict.fromkeys(self.fleet.models()))
        self.ledger = Ledger(
            self.queue,
            self.limiter,
            self.metrics,
            grace_s,
            self.clock,
            calibration=self.calibration,
            traffic=self.traffic,
            pools=self.fleet.pools,
        )
        identity = Identity(self.settings, self)
        self.planner = Planner(self.settings.limits, self.fleet, trusts_headers=self.settings.trusts_picker_headers)
        self.rewrites = Rewrites(random.Random(1), trusts_header=self.settings.trusts_picker_headers)
        self.admission = Admission(
            identity=identity,
            planner=self.planner,
            inquiries=Inquiries(identity, self.fleet, Catalogue(self.fleet, lambda: UNIX_S), self.limiter),
            rewrites=self.rewrites,
            replies=Replies(self.fleet, identity, self.settings),
            fleet=self.fleet,
            queue=self.queue,
            limiter=self.limiter,
            ledger=self.ledger,
            metrics=self.metrics,
            traffic=self.traffic,
            tolls=Tolls(self.settings.pools, self.fleet.pools, self.limiter, self, self.clock),
            clock=self.clock,
            next_id=exchange_ids(0, REPLICA),
            shadow=self.settings.routing.shadow,
        )

    async def create(self, user: User) -> tuple[User, bool]:
        """Store a user, as a store of users does."""
        return self.users.setdefault(user.name, user), True

    async def update(self, user: User) -> User | None:
        """Replace a user that is there."""
        return None if user.name not in self.users else self.users.setdefault(user.name, user)

    def remembered(self, key: str) -> Sender | None:
        """This ring remembers nothing."""

    async def sender_of(self, key: str) -> Sender | None:
        """Keys are as `keys` says; as a ring of keys, `away` like Redis."""
        if self.away:
            raise LimiterUnavailableError
        return self.keys.get(key)

    def clock(self) -> float:
        return self.now_s

    async def admit(
        self,
        body: dict[str, Any] | None = None,
        subset: Any = None,
        operation: Operation = Operation.CHAT,
        **headers: str,
    ) -> Refused | Routed | Answered:
        """Admission's answer; an admitted request's id is `self.last_id`."""
        command = self.command(body, subset, operation, **headers)
        identity = self.admission.identify(Identify(command.headers))
        identified = identity if isinstance(identity, Identified) else await identity
        if isinstance(identified, Refused):
            return identified
        outcome = await self.admission.decide(command._replace(sender=identified.sender))
        if isinstance(outcome, Routed):
            self.last_id = outcome.exchange_id
        return outcome

    def command(
        self,
        body: dict[str, Any] | None = None,
        subset: Any = None,
        operation: Operation = Operation.CHAT,
        **headers: str,
    ) -> Admit:
        """Return an exchange's question; for operations other than chat the body is taken as given."""
        fields = {**CHAT, **(body or {})} if operation is Operation.CHAT else body
        request = parse_request(operation, "", orjson.dumps(fields))
        return Admit(
            request,
            {name.replace("_", "-"): value for name, value in headers.items()},
            subset,
            Sender(headers["user"]) if "user" in headers else None,
        )

    def sample(self, name: str) -> float:
        """One sample of the metrics page, 0 when it is not there."""
        lines = dict(line.rsplit(" ", 1) for line in self.metrics.render().decode().splitlines() if line[0] != "#")
        return float(lines.get(name, 0))


def refused(outcome: Refused | Routed | Answered) -> tuple[int, str, str | None]:
    """Status, kind and parameter of a refusal."""
    assert isinstance(outcome, Refused)
    return outcome.error.status, outcome.error.kind, outcome.error.param


def routed(outcome: Refused | Routed | Answered) -> Routed:
    """Nothing else."""
    assert isinstance(outcome, Routed), outcome
    return outcome


def deliveries(shop: Shop, post: Post | None = None) -> Deliveries:
    """Return what takes the shop's access-log entries."""
    assert shop.limiter is not None
    return Deliveries(
        REPLICA, shop.ledger, shop.limiter, post or NoPost(), clock=shop.clock, on_error=shop.metrics.count_error
    )


def a_service(shop: Shop, *, ready: bool = True) -> Service:
    """Return the gRPC services over the shop's admission."""
    return Service(
        shop.settings,
        shop.admission,
        shop.ledger,
        deliveries(shop),
        ready=lambda: ready,
        on_attempt_failed=lambda address: shop.fleet.record_failed_attempt(address, shop.now_s),
        on_error=shop.metrics.count_error,
    )
