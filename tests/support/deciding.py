"""The optimizer's loop for tests of decisions, without the service around it."""

from dataclasses import replace

from optimizer.planning.decider import Decider, Decision, Policy
from optimizer.planning.deployments import Deployment
from optimizer.profiles.capacity import Slo
from optimizer.profiles.profile import Profile
from traffic.window import Lengths, Window

SHORT, LONG = (70, 60), (120, 60)
IDLE_WINDOWS = 30
"""Windows without a request after which a model is idle."""
EXACT = Policy(margin=1.0)


def a_profile(name: str, *, cost: float = 1.0, short: float = 10.0, long: float = 1.0) -> Profile:
    return Profile(name, cost, (64,), (128, 4096), ((short, long),), Slo(e2e_s=2.0))


def a_deployment(name: str = "small", replicas: int = 0, **others) -> Deployment:
    return Deployment("default", name, "m", replicas, **{"ready": replicas, **others})


class Loop:
    """The optimizer's loop: windows, decisions, and deployments that follow at once, or as `starts` says."""

    def __init__(self, *deployments: Deployment, profiles: tuple[Profile, ...], policy: Policy = EXACT) -> None:
        self.deployments = {each.key: each for each in deployments}
        self.profiles = {profile.deployment: profile for profile in profiles}
        self.decider = Decider(policy)
        self.now_s = 1_000_000.0
        self.overrides: dict[str, int] = {}
        self.starts = True

    def hear(self, rate: float, lengths: Lengths = SHORT, **others) -> None:
        count = round(rate * 10)
        window = Window(10.0, count, {lengths: count} if count else {}, starts_at_s=self.now_s)
        self.decider.learn(replace(window, **others))
        self.now_s += 10.0

    def decide(self) -> Decision:
        decision = self.decider.decide(self.now_s, list(self.deployments.values()), self.profiles, self.overrides)
        for key, n in decision.replicas.items():
            ready = n if self.starts else min(n, self.deployments[key].ready)
            self.deployments[key] = replace(self.deployments[key], replicas=n, ready=ready)
        return decision

    def step(self, rate: float, lengths: Lengths = SHORT, **others) -> tuple[int, ...]:
        """Hear and decide once, and return the replicas of the deployments in order."""
        for _ in range(3):
            self.hear(rate, lengths, **others)
        return tuple(self.decide().replicas.values())

    def counts(self) -> tuple[int, ...]:
        """Return the replicas that the deployments have, in order."""
        return tuple(each.replicas for each in self.deployments.values())

    def rest(self) -> tuple[int, ...]:
        """Become idle, and return the replicas."""
        for _ in range(IDLE_WINDOWS):
            self.hear(0.0)
        return self.step(0.0)


def one(replicas: int = 0, policy: Policy = EXACT, **others) -> Loop:
    return Loop(a_deployment(replicas=replicas, **others), profiles=(a_profile("small"),), policy=policy)


def two(small: int = 0, large: int = 0, policy: Policy = EXACT) -> Loop:
    """The large type serves long requests for less."""
    profiles = a_profile("large", cost=3.0, short=12.0, long=8.0), a_profile("small", long=0.5)
    return Loop(a_deployment("large", large), a_deployment("small", small), profiles=profiles, policy=policy)
