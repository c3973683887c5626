"""A request's admission: its limits and its pod, then one reply.

    identify, before the body is read
    plan -> ask the limiter -> pick a pod while it answers -> await the answer -> open in the ledger -> reply

Lives here: this order, and what is taken back when a step fails.  Not here: the steps (plan, limiting, queue, reply),
the request's end (gateway.accounting).
"""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from itertools import count
from typing import Any

from gateway.accounting.carried import carried
from gateway.accounting.ledger import Ledger, OpenRequest
from gateway.admission.identity import Identity
from gateway.admission.inquiries import Inquiries, is_dry_run
from gateway.admission.limiting import Grant, charge, granted, limiter_answer
from gateway.admission.pending import PendingAdmission
from gateway.admission.plan import Plan, Planner
from gateway.admission.queue import AdmissionQueue
from gateway.admission.reply import Replies, by_address
from gateway.admission.tolls import ApiFullError, Tolls
from gateway.extproc.commands import Admit, Answer, Identify, Refuse
from gateway.extproc.events import Answered, Identified, Refused, Routed
from gateway.fleet.fleet import Fleet
from gateway.fleet.ticket import Ticket
from gateway.observability.metrics import NONE_HEALTHY, Metrics
from gateway.openai.errors import ClientGoneError, LimiterAwayError, LimitExceededError, RefusalError
from gateway.openai.limit_headers import limit_headers
from gateway.openai.output_limit import MAX_TOKENS
from gateway.openai.rewrites import Rewrites
from ratelimit.accounts.sender import Sender
from ratelimit.kinds import NOTHING
from ratelimit.limits import Admitted, Limiter, LimiterUnavailableError, Reservation
from routing.types import NoCandidateError, NoCandidateReason, RouteRequest
from traffic.counts import Counts

MAX_EXISTING = 10_000
"""Users who are not looked up again when their next request begins (chosen; with names of 256 bytes, 4 MB)."""


class Admission:
    """Answers what exchanges ask, for one worker.  `next_id` makes exchange ids that no other worker makes."""

    def __init__(
        self,
        *,
        identity: Identity,
        planner: Planner,
        inquiries: Inquiries,
        rewrites: Rewrites,
        replies: Replies,
        fleet: Fleet,
        queue: AdmissionQueue,
        limiter: Limiter,
        ledger: Ledger,
        metrics: Metrics,
        traffic: Counts,
        tolls: Tolls,
        clock: Callable[[], float],
        next_id: Callable[[], str],
        shadow: str = "",
    ) -> None:
        self.rewrites = rewrites
        """The rules by which models are rewritten before requests are admitted."""
        self._identity = identity
        self._planner = planner
        self._inquiries = inquiries
        self._replies = replies
        self._fleet = fleet
        self._queue = queue
        self._limiter = limiter
        self._ledger = ledger
        self._metrics = metrics
        self._traffic = traffic
        self._tolls = tolls
        self._clock = clock
        self._next_id = next_id
        self._shadow = shadow
        self._existing: dict[str, None] = {}  # users who existed when they were looked up, the oldest first
        self._pending: dict[int, PendingAdmission] = {}  # requests that wait, by the id() of their command

    def identify(self, question: Identify) -> Identified | Coroutine[Any, Any, Identified | Refused]:
        """Tell who sends a request, at once for users and keys that are remembered; others are looked up."""
        try:
            claim = self._identity.claim(question.headers)
        except RefusalError as error:
            return self._refuse(Refuse(error, question.headers))
        if claim is None or (isinstance(claim, Sender) and claim.user in self._existing):
            return Identified(claim)
        return self._identified(question, claim)

    async def decide(self, question: Admit | Answer | Refuse) -> Routed | Answered | Refused:
        """Answer one question of an exchange."""
        try:
            if isinstance(question, Refuse):
                return await self._refuse(question)
            if isinstance(question, Answer):
                return await self._inquiries.answer(question)
            if is_dry_run(question.headers):
                return await self._inquiries.dry_run(self._planner.checked(self._planner.plan(question)))
            return await self._admit_anywhere(question)
        except RefusalError as error:
            return await self._refuse(Refuse(error, question.headers))

    def abandon(self, command: Admit) -> None:
        """Give up a request whose client has left, if it waits for a pod; other requests are decided to the end."""
        pending = self._pending.get(id(command))
        if pending is not None:
            pending.leave()

    async def _identified(self, question: Identify, claim: Sender | Awaitable[Sender]) -> Identified | Refused:
        try:
            sender = claim if isinstance(claim, Sender) else await claim
            if sender.user not in self._existing:
                await self._look_up(sender.user)
        except RefusalError as error:
            return await self._refuse(Refuse(error, question.headers))
        return Identified(sender)

    async def _look_up(self, user: str) -> None:
        """Refuse a user who does not exist before the body is read; when that cannot be told now, the limiter will."""
        with suppress(LimiterAwayError):
            await limiter_answer(user, self._limiter.usage(user))
            self._existing[user] = None
            if len(self._existing) > MAX_EXISTING:
                del self._existing[next(iter(self._existing))]

    async def _refuse(self, command: Refuse) -> Refused:
        """Count a refusal and add the headers that a user with limits sees on every answer.  Charges nothing."""
        self._metrics.count_refusal(command.error.kind)
        headers = dict(command.error.headers)
        if not headers and (sender := await self._identity.known(command.headers)) is not None:
            headers = await self._inquiries.quota_headers(sender.user)
        return Refused(command.error, headers)

    async def _admit_anywhere(self, command: Admit) -> Routed:
        """Admit the request; once an API's limits refuse it, its pool is closed, and another may take it."""
        try:
            return await self._admit(command)
        except ApiFullError:
            return await self._admit(command)

    async def _admit(self, command: Admit) -> Routed:
        started_s = self._clock()
        plan = self._planner.plan(command)
        slo = plan.route.slo
        try:
            at_once = slo is None and not self._fleet.pools.may_refuse(plan.route.model)
            if at_once and not self._awaits_first(plan.route):
                question = self._ask(plan)
                ticket = self._fleet.route(plan.route, plan.strategy, self._clock())  # it was checked that it can
            else:  # overload is refused before anything is charged
                pending = PendingAdmission(self._queue, plan.route, slo, plan.strategy, started_s)
                if pending.is_waiting:
                    return await self._admit_later(command, plan, pending)
                ticket = await pending.ticket()
                question = self._ask(plan)
        except NoCandidateError as error:
            if error.why is not NoCandidateReason.NO_MATCH:  # more replicas would not have the labels either
                self._count_arrival(plan)
            raise self._planner.refusal(error, plan.route) from error
        picked_s = self._clock()
        try:
            grant = await self._answer(command, plan, question)
        except BaseException:
            self._queue.withdraw(ticket, self._clock())
            raise
        self._metrics.observe_decision(picked_s - started_s)
        self._metrics.observe_limiter(self._clock() - picked_s)
        toll = await self._pay(plan, ticket, grant) if ticket.decision.pod.is_api else None
        return self._open(command, plan, ticket, grant, toll)

    def _awaits_first(self, request: RouteRequest) -> bool:
        """Return whether the request has to wait for the first pod of its model.

        Raises NoCandidateError, before anything is charged, when no pod may take it and none is started.
        """
        try:
            self._fleet.check(request)
        except NoCandidateError as error:
            if not self._queue.awaits_first(request, error):
                raise
            return True
        return False

    async def _admit_later(self, command: Admit, plan: Plan, pending: PendingAdmission) -> Routed:
        """Charge at once, so that no request waits that its limits refuse; give the charge back if it waits in vain."""
        self._pending[id(command)] = pending
        try:
            grant = await self._charge_waiting(command, plan, pending)
            if grant.admitted is not None and grant.admitted.reservation.is_hard:
                self._ledger.hold(grant.exchange_id, grant.admitted.reservation)
            try:
                ticket = await self._ticket(plan, pending)
            except BaseException:
                await self._give_back(grant)
                raise
            self._metrics.observe_wait(ticket.waited_s)
            toll = await self._pay(plan, ticket, grant) if ticket.decision.pod.is_api else None
            return self._open(command, plan, ticket, grant, toll, awaited_first=pending.awaited_first)
        finally:
            del self._pending[id(command)]

    async def _charge_waiting(self, command: Admit, plan: Plan, pending: PendingAdmission) -> Grant:
        """Charge; a request that may not be sent leaves the queue, and gives back the pod that it may have by now."""
        try:
            return await self._answer(command, plan, self._ask(plan))
        except BaseException:
            pending.leave()
            with suppress(NoCandidateError, ClientGoneError):
                self._queue.withdraw(await pending.ticket(), self._clock())
            raise

    def _ask(self, plan: Plan) -> Awaitable[Admitted | None] | None:
        """Ask the limiter now, to be answered when awaited; None when no limit applies."""
        return charge(plan, self._limiter) if plan.is_limited else None

    async def _answer(self, command: Admit, plan: Plan, question: Awaitable[Admitted | None] | None) -> Grant:
        """Await the limiter's answer.  What a limit refuses is no arrival, because more replicas would not serve it."""
        try:
            admitted = await question if question is not None else None
        except LimitExceededError:
            self._traffic.refuse(plan.route.model)
            raise
        self._count_arrival(plan)
        grant = Grant(admitted, exchange_id=self._next_id())
        if admitted is None or not admitted.reservation.is_hard:
            return grant
        try:
            whole = granted(command, plan, admitted, self._fleet.model_lengths(plan.route.model))
        except RefusalError:  # the body cannot be changed
            await self._give_back(grant)
            raise
        return whole._replace(exchange_id=grant.exchange_id)

    def _count_arrival(self, plan: Plan) -> None:
        if not plan.estimate.is_free:
            self._traffic.arrive(plan.route.model, plan.estimator.likely_prompt_tokens(plan.size))

    async def _ticket(self, plan: Plan, pending: PendingAdmission) -> Ticket:
        try:
            return await pending.ticket()
        except NoCandidateError as error:
            raise self._planner.refusal(error, plan.route) from error

    async def _pay(self, plan: Plan, ticket: Ticket, grant: Grant) -> Reservation | None:
        """Charge the API's own limits; a request that they refuse gives back its pod and its user's charge."""
        try:
            return await self._tolls.pay(plan, ticket)
        except BaseException:
            self._queue.withdraw(ticket, self._clock())
            await self._give_back(grant)
            raise

    async def _give_back(self, grant: Grant) -> None:
        """Give back what was charged, if anything was."""
        if grant.admitted is None:
            return
        reservation = grant.admitted.reservation
        self._ledger.let_go(grant.exchange_id)
        self._limiter.release(reservation)
        changes = {grant.exchange_id: NOTHING.minus(reservation.amounts)} if reservation.is_hard else None
        try:
            await self._limiter.settle(reservation, NOTHING, changes)
        except LimiterUnavailableError:
            self._metrics.count_error("settle")  # the reservation ends with its window

    def _open(
        self,
        command: Admit,
        plan: Plan,
        ticket: Ticket,
        grant: Grant,
        toll: Reservation | None,
        *,
        awaited_first: bool = False,
    ) -> Routed:
        """Enter the request in the ledger and return the reply."""
        self._count_decision(plan, ticket)
        exchange_id = grant.exchange_id
        admitted, estimate, reservation = grant.admitted, plan.estimate, None
        if admitted is not None:
            reservation = admitted.reservation
            if reservation.amounts.tokens != estimate.tokens:
                estimate = estimate._replace(reserved_tokens=reservation.amounts.tokens)
        quotas = limit_headers(admitted.quotas) if admitted is not None else {}
        if grant.maximum is not None:
            quotas[MAX_TOKENS] = str(grant.maximum)
            estimate = estimate._replace(bounds=estimate.bounds._replace(maximum=grant.maximum))
        prices = plan.prices
        opened = OpenRequest(exchange_id, ticket, plan.size, estimate, plan.estimator, reservation, prices, toll)
        self._ledger.open(opened)
        exchange = carried(exchange_id, reservation, prices)
        reply = self._replies.routed(exchange, plan.route, ticket.decision, command.headers, quotas)
        if grant.body is not None:
            reply = reply._replace(body=grant.body)
        return by_address(reply, ticket.decision) if awaited_first else reply

    def _count_decision(self, plan: Plan, ticket: Ticket) -> None:
        decision = ticket.decision
        if not ticket.pod.endpoint.ready:
            self._metrics.count_fallback(plan.strategy, NONE_HEALTHY)
        if ticket.shadow:
            self._metrics.count_shadow_decision(plan.strategy, self._shadow, ticket.shadow == decision.pod.id)
        if decision.fallback:
            self._metrics.count_fallback(plan.strategy, decision.fallback)


def exchange_ids(index: int, replica: str) -> Callable[[], str]:
    """Return a source of ids `<index>-<replica>-<number in hexadecimal>`.

    Envoy's access log finds a gateway's worker by its index, and any worker the owner by the replica's name.
    """
    prefix, numbers = f"{index}-{replica}-", count(1)
    return lambda: f"{prefix}{next(numbers):x}"
