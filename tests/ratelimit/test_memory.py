from ratelimit.kinds import Amounts
from ratelimit.limits import Admitted, Refused, User
from ratelimit.memory import MemoryLimiter
from tests.support.limiters import a_charge

T = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now_s = T

    def __call__(self) -> float:
        return self.now_s


def a_limiter(clock: Clock, rpm: int | None = None) -> MemoryLimiter:
    return MemoryLimiter(lambda name: User(name, rpm), clock)


def reserve(limiter: MemoryLimiter, user: str) -> object:
    return limiter.decide(a_charge(user, 1), takes=True)


def test_users_whose_window_is_empty_are_forgotten():
    clock = Clock()
    limiter = a_limiter(clock)
    for i in range(100):
        reserve(limiter, f"early-{i}")
    assert 100 == len(limiter)
    clock.now_s += 200

    reserve(limiter, "late")

    assert 1 == len(limiter)


def test_a_user_who_is_only_refused_takes_no_memory():
    limiter = a_limiter(Clock(), rpm=0)

    verdict = reserve(limiter, "u")

    assert isinstance(verdict, Refused)
    assert 0 == len(limiter)


def test_a_user_in_use_is_not_forgotten_behind_others():
    clock = Clock()
    limiter = a_limiter(clock, rpm=2)
    reserve(limiter, "busy")
    reserve(limiter, "idle")
    clock.now_s += 100
    reserve(limiter, "busy")
    clock.now_s += 50
    reserve(limiter, "busy")

    assert 1 == len(limiter)
    assert isinstance(reserve(limiter, "busy"), Refused)


def test_seeding_counts_what_others_used_once():
    clock = Clock()
    limiter = a_limiter(clock, rpm=3)

    for _ in range(2):
        limiter.seed(("u",), "", int(T), Amounts(2, 0))

    assert isinstance(reserve(limiter, "u"), Admitted)
    assert isinstance(reserve(limiter, "u"), Refused)
