"""Answers requests that no engine sees and nobody is charged for: models, health, a user's usage, and dry runs.

Lives here: who is told what.  Not here: the shapes of the answers (gateway.openai.answers), what would be charged
(plan).
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import orjson

from gateway.admission.identity import Identity
from gateway.admission.limiting import limiter_answer
from gateway.admission.plan import MAX_SHOWN_CHARACTERS, Plan
from gateway.extproc.commands import Answer
from gateway.extproc.events import Answered
from gateway.fleet.catalogue import Catalogue
from gateway.fleet.fleet import Fleet
from gateway.openai.answers import ModelCard, check_record, models_list, usage_record
from gateway.openai.errors import BadRequestError, UnknownModelError, header_safe
from gateway.openai.limit_headers import limit_headers
from gateway.openai.operations import Operation, model_in_path
from ratelimit.granting import within
from ratelimit.limits import Admitted, Limiter, LimiterUnavailableError, MalformedUserError, Usage
from ratelimit.limits import Refused as OverLimit

VERSION = version("forebay")
DRY_RUN = "dry-run"
"""The request header that asks for a dry run.  It is not called `x-forebay-*`: clients cannot send those."""


class Inquiries:
    """Answers for one worker."""

    def __init__(self, identity: Identity, fleet: Fleet, catalogue: Catalogue, limiter: Limiter) -> None:
        self._identity = identity
        self._fleet = fleet
        self._catalogue = catalogue
        self._limiter = limiter

    async def answer(self, command: Answer) -> Answered:
        """Answer what no engine is asked: anyone about health, and anyone who may send requests about the rest.

        Raises RefusalError.
        """
        operation = command.operation
        if operation is Operation.VERSION:
            return Answered(orjson.dumps({"version": VERSION}))
        if operation in (Operation.HEALTH, Operation.PING, Operation.PING_BY_POST):
            return self._health()
        sender = await self._identity.sender(command.headers)
        user = None if sender is None else sender.user
        if operation is Operation.USAGE:
            return await self._usage(user)
        cards = [card for card in self._catalogue.cards() if sender is None or sender.may_use(card.name)]
        path = command.headers.get(":path", "")
        body = models_list(cards) if operation is Operation.MODELS else _model(cards, path)
        return Answered(orjson.dumps(body), await self.quota_headers(user) if user is not None else {})

    def _health(self) -> Answered:
        """Say whether any request could be served, as engines do on this path."""
        if self._fleet.has_ready_pod:
            return Answered(orjson.dumps({"status": "ok"}))
        return Answered(orjson.dumps({"status": "no pod is ready"}), status=503)

    async def dry_run(self, plan: Plan) -> Answered:
        """Say whether the limits would admit the request now, and if not, when.  Raises RefusalError."""
        verdict: Admitted | OverLimit = await limiter_answer(plan.user or "", self._limiter.check(plan.charge))
        shown = {} if plan.user is None else limit_headers(verdict.quotas)
        if isinstance(verdict, Admitted):
            charged = verdict.reservation.amounts
        else:
            limits = {kind: quota.limit for kind, quota in verdict.quotas.items()}
            charged = within(plan.charge, plan.charge.amounts, limits)
        return Answered(orjson.dumps(check_record(verdict, charged.tokens)), shown)

    async def quota_headers(self, user: str) -> dict[str, str]:
        """Return what the user's responses say about its limits; nothing when that cannot be told now."""
        try:
            usage = await self._limiter.usage(user)
        except (LimiterUnavailableError, MalformedUserError):
            return {}
        return limit_headers(usage.quotas) if usage is not None else {}

    async def _usage(self, user: str | None) -> Answered:
        if user is None:
            raise self._identity.missing()
        usage: Usage = await limiter_answer(user, self._limiter.usage(user))
        return Answered(orjson.dumps(usage_record(usage)), limit_headers(usage.quotas))


def _model(cards: Sequence[ModelCard], target: str) -> dict[str, Any]:
    name = model_in_path(target)
    for card in cards:
        if card.name == name:
            return card.shown()
    existing = ", ".join(card.name for card in cards)
    raise UnknownModelError(
        f"model {name[:MAX_SHOWN_CHARACTERS]} does not exist, must be one of: {existing}", param="model"
    )


def is_dry_run(headers: Mapping[str, str]) -> bool:
    """Read the header.  Raises BadRequestError for any other word: a typing error must not send a mere question."""
    said = headers.get(DRY_RUN)
    if said is None or said == "false":
        return False
    if said == "true":
        return True
    shown = header_safe(said[:MAX_SHOWN_CHARACTERS])
    raise BadRequestError(f"{DRY_RUN} = {shown}, must be true or false", param=DRY_RUN)
