"""Decisions: up at once, down late, nothing on what is not known."""

from dataclasses import replace

from optimizer.planning.decider import Decider, Decision, Policy
from optimizer.planning.deployments import Deployment
from optimizer.profiles.capacity import Slo
from optimizer.profiles.profile import Profile
from traffic.window import Window

SHORT, LONG = (70, 60), (120, 60)
EVERY_S = 30.0
EVEN = Policy(margin=1.0)


def a_profile(name: str, *, cost: float = 1.0, short: float = 10.0, long: float = 1.0) -> Profile:
    return Profile(name, cost, (64,), (128, 4096), ((short, long),), Slo(e2e_s=2.0))


def a_deployment(name: str = "small", replicas: int = 0, **others) -> Deployment:
    others = {"ready": replicas, **others}
    return Deployment("default", name, "m", replicas, **others)


class Loop:
    """The optimizer's loop: windows, decisions, and deployments that follow at once."""

    def __init__(self, *deployments: Deployment, profiles: tuple[Profile, ...], policy: Policy = EVEN) -> None:
        self.deployments = {each.key: each for each in deployments}
        self.profiles = {profile.deployment: profile for profile in profiles}
        self.decider = Decider(policy)
        self.now_s = 1_000_000.0
        self.overrides: dict[str, int] = {}

    def hear(self, rate: float, lengths=SHORT, **others) -> None:
        count = round(rate * 10)
        completed = {lengths: count} if count else {}
        self.decider.learn(Window(10.0, count, completed, starts_at_s=self.now_s, **others))
        self.now_s += 10.0

    def decide(self) -> Decision:
        decision = self.decider.decide(self.now_s, list(self.deployments.values()), self.profiles, self.overrides)
        for key, n in decision.replicas.items():
            self.deployments[key] = replace(self.deployments[key], replicas=n, ready=n)
        return decision

    def step(self, rate: float, lengths=SHORT, **others) -> Decision:
        for _ in range(3):
            self.hear(rate, lengths, **others)
        return self.decide()

    def counts(self) -> tuple[int, ...]:
        return tuple(each.replicas for each in self.deployments.values())


def one(replicas: int = 0, policy: Policy = EVEN, **others) -> Loop:
    return Loop(a_deployment(replicas=replicas, **others), profiles=(a_profile("small"),), policy=policy)


def test_replicas_follow_load_up_at_once():
    loop = one(replicas=1)

    assert {"default/small": 4} == loop.step(40.0).replicas
    assert {"default/small": 10} == loop.step(100.0).replicas


def test_a_start_without_traces_keeps_what_runs_and_says_so():
    decision = one(replicas=3, min_replicas=1).decide()

    assert {"default/small": 3} == decision.replicas
    assert [
        "what runs is kept: no traces: no gateway has counted a request of the model, or they cannot reach Redis"
    ] == [*decision.held]
