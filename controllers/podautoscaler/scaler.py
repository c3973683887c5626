"""One autoscaler at work: looks at its target, has its strategy decide, and writes the replicas.

Lives here: the steps of one decision, and what each can fail by.  Not here: which autoscalers work (controller), what
is decided (autoscaling), how a target is seen (targets, sources).  While anything is unknown the replicas stay.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
import structlog

from autoscaling.autoscaler import autoscaler
from autoscaling.bounds import bounds_at
from autoscaling.decision import Decision, Strategy
from autoscaling.sleeping import moves
from autoscaling.spec import Spec
from controllers.podautoscaler.conditions import ABLE, ACTIVE, Said
from controllers.podautoscaler.memory import Memory
from controllers.podautoscaler.objects import PodAutoscaler, ScalingDecision, ScheduledBounds, Status
from controllers.podautoscaler.observing import Observed, Observer
from controllers.podautoscaler.sleepers import Sleepers
from controllers.podautoscaler.targets import Seen, Targets
from controllers.podautoscaler.waking import Sleeper, Turns
from kube.errors import ApiError, Unreachable
from kube.objects import Metadata
from kube.scaling import NoScale
from kube.times import timestamp
from traffic.connection import RedisAwayError
from traffic.wakes import Wakes

LOOK_AGAIN_S = 10.0
"""How often is looked for a target that is not there (chosen)."""
SOONEST_S, LATEST_S = 0.5, 60.0
"""Between two decisions, whatever a strategy says."""
KEEP_S = 30.0
"""How often a state is kept: so much of a window a crash may lose."""

log = structlog.get_logger(__name__)


class Tools(NamedTuple):
    """The things that all autoscalers of a process work with."""

    targets: Targets
    observer: Observer
    memory: Memory
    wakes: Wakes
    turns: Turns
    wall: Callable[[], float]  # seconds since the epoch


class Step(NamedTuple):
    """One look at an autoscaler and what came of it; None: not known."""

    again_s: float | None  # until the next look; None: when something changes
    found: Mapping[str, Said]  # the conditions that are not as when all is well, or that have more to say
    actual: int | None = None
    desired: int | None = None
    change: ScalingDecision | None = None
    scaled_at: str | None = None  # where somebody else scales
    bounds: ScheduledBounds | None = None


class Scaler:
    """One autoscaler and the memory of its strategy."""

    def __init__(self, autoscaler: PodAutoscaler, spec: Spec, tools: Tools) -> None:
        self.spec = spec
        self._metadata = autoscaler.metadata
        self._is_new = autoscaler.status == Status()
        changes = autoscaler.status.scaling_history
        self._has_emptied = bool(changes) and changes[-1].success and changes[-1].new_scale == 0
        self._tools = tools
        self._strategy: Strategy | None = None
        self._kept_s = tools.wall()
        self._sleepers = Sleepers()
        self._may_rest = True  # some may sleep since before the autoscaler was changed
        self._asleep = ""  # the model of the target while it has no replica that is awake
        self._way = (0, 0)  # replicas awake and desired at the last look

    def sleeps(self, model: str) -> bool:
        """Whether the target has no replica awake, as far as was seen, and would serve the model if it had one."""
        return bool(model) and self._asleep == model

    def is_of(self, metadata: Metadata, spec: Spec) -> bool:
        """Whether this is the autoscaler, and nothing else is asked for."""
        return self.is_same(metadata) and self.spec == spec

    def is_same(self, metadata: Metadata) -> bool:
        """Whether this is the autoscaler, whatever it asks for."""
        return self._metadata.uid == metadata.uid

    async def step(self) -> Step:
        """Look and do what is due.  Raises Unreachable while there is no API server."""
        strategy = self._strategy = self._strategy or await self._remembering()
        try:
            seen = await self._tools.targets.look(self.spec.target)
        except Unreachable:
            raise
        except (NoScale, ApiError) as error:
            self._tools.turns.forget(self.spec.target)
            return Step(LOOK_AGAIN_S, {ABLE: Said("False", "FailedGetScale", f"spec.scaleTargetRef: {error}")})
        if seen.replicas == 0 and is_never_empty(self.spec) and not self._has_emptied:
            self._tools.turns.forget(self.spec.target)
            why = "the target has 0 replicas, and spec.minReplicas is not 0: scale it by hand to have it scaled again"
            return Step(LOOK_AGAIN_S, {ACTIVE: Said("False", "ScalingDisabled", why)}, seen.actual, 0)
        if self._may_rest:
            seen = seen.without(await self._sleepers.resting(seen.pods))
            self._may_rest = bool(self.spec.keep_asleep or seen.resting)
        observed = await self._observe(seen)
        decision = strategy.decide(observed.observation)
        step = await self._obey(seen, decision, observed.failures)
        await self._keep_sometimes()
        return step._replace(bounds=scheduled(self.spec, self._tools.wall()))

    async def end(self) -> None:
        """Keep the state, for who decides next."""
        state = self._strategy.state() if self._strategy else {}
        try:
            if state:  # nothing was decided yet: there may be an older one
                await self._tools.memory.keep(self._metadata, state)
        except ApiError as error:
            log.warning("autoscaler_state_not_kept", key=self._metadata.key, why=str(error))

    async def _remembering(self) -> Strategy:
        """Return the strategy, with the state that an earlier process kept; one whose state is lost is cold."""
        state = await self._tools.memory.recall(self._metadata)
        if state is None:
            return autoscaler(self.spec, is_cold=not self._is_new)
        try:
            strategy = autoscaler(self.spec)
            strategy.restore(state)
        except ValueError as error:
            log.info("autoscaler_state_not_used", key=self._metadata.key, why=str(error))
            strategy = autoscaler(self.spec, is_cold=True)
        return strategy

    async def _observe(self, seen: Seen) -> Observed:
        observed = await self._tools.observer.observe(self.spec, seen.model, seen.pods, seen.starting, seen.leaving)
        wakes = await self._is_woken(seen)
        return observed._replace(
            observation=msgspec.structs.replace(observed.observation, ready=seen.ready, wakes=wakes)
        )

    async def _is_woken(self, seen: Seen) -> bool:
        """Promise gateways a pod for requests that wait, where there may be none; return whether it is to be ours."""
        self._asleep = "" if seen.awake else seen.model
        self._tools.turns.see(self.spec.target, Sleeper(seen.model, seen.replicas, seen.ready, seen.cost))
        if is_never_empty(self.spec) or not seen.model:
            return False
        try:
            await self._tools.wakes.promise({seen.model})
            if await self._tools.wakes.waiting({seen.model}):
                return self._tools.turns.wakes(self.spec.target, self._tools.wall())
            self._tools.turns.rest(seen.model)
        except RedisAwayError:
            pass  # the wake is repeated, and heard when Redis is back
        return False

    async def _obey(self, seen: Seen, decision: Decision, failures: tuple[str, ...]) -> Step:
        found = {ACTIVE: Said("True", "MetricsAreThere", decision.reason)}
        if decision.missing:
            found = {ACTIVE: Said("False", "FailedGetMetrics", "; ".join((decision.missing, *failures)))}
        replicas, change = await self._replicas(seen, decision.desired), None
        before, self._way = self._way, (seen.awake, decision.desired)
        if replicas != seen.replicas or (decision.desired != seen.awake and self._way != before):
            change = await self._change(seen, replicas, decision)
            if not change.success:
                found[ABLE] = Said("False", "FailedUpdateScale", change.error)
        again_s = min(max(decision.next_s - self._tools.wall(), SOONEST_S), LATEST_S)
        return Step(again_s, found, seen.actual, decision.desired, change)

    async def _replicas(self, seen: Seen, desired: int) -> int:
        """Return how many replicas there should be, those that sleep counted; wake and let sleep as many as needed."""
        if not self._may_rest:
            return desired
        done = moves(desired, seen.awake, seen.asleep, self.spec.keep_asleep)
        sleepless = await self._sleepers.obey(done, seen.pods, seen.resting, max(0, seen.ready - desired))
        return seen.replicas + done.start - done.end - done.end_asleep - sleepless

    async def _change(self, seen: Seen, replicas: int, decision: Decision) -> ScalingDecision:
        error = ""
        try:
            if replicas != seen.replicas:
                await self._tools.targets.scale(self.spec.target, replicas)
        except (NoScale, ApiError) as refusal:
            error = str(refusal)
        reason = f"{self.spec.strategy}: {decision.reason}"
        now = timestamp(self._tools.wall())
        return ScalingDecision(now, seen.awake, decision.desired, reason, not error, error)

    async def _keep_sometimes(self) -> None:
        if self._tools.wall() - self._kept_s >= KEEP_S:
            self._kept_s = self._tools.wall()
            await self.end()


def scheduled(spec: Spec, now_s: float) -> ScheduledBounds | None:
    """Return the bounds that hold now, of an autoscaler that has schedules."""
    bounds = bounds_at(spec, now_s)
    return ScheduledBounds(bounds.least, bounds.most, bounds.schedule) if spec.schedules else None


def is_never_empty(spec: Spec) -> bool:
    """Whether the bounds allow 0 replicas at no time, so that somebody has switched off a target that has 0."""
    return 0 not in {spec.least, *(schedule.least for schedule in spec.schedules)}
