"""Verdicts are remembered by level."""

from ratelimit.heard import LastHeard, policy_of, user_of, with_model
from ratelimit.kinds import GROUP, KEY, Amounts
from ratelimit.limits import Bounds, Charge, Policy, Rates, User
from ratelimit.memory import MemoryLimiter

LEVELS = {("u", "k"): Policy(tpm=50), ("", "g"): Policy(rpm=7, budgets={"day": 100, "cost_month": 9})}
USER = User("u", 3, 40, 2, {"m": Rates(1, 9)}, budgets={"month": 60}, reserve="maximum", group="g")


def heard(*charges: Charge) -> LastHeard:
    limiter, last = MemoryLimiter({"u": USER}.get, lambda: 1_700_000_000.0, LEVELS.get), LastHeard()
    for charge in charges:
        last.remember(charge, limiter.decide(charge, takes=True), 5.0)
    return last


def charge(tokens: int) -> Charge:
    bounds = Bounds(Amounts(1, 0), Amounts(1, tokens))
    return Charge("u", Amounts(1, tokens), "m", key="k", bounds=bounds)


def test_a_verdict_tells_the_limits_of_every_level():
    last = heard(charge(5))

    of_user, of_model = last.of(("u",)), last.of(("u",), "m")
    assert of_user is not None
    assert of_model is not None
    assert with_model(user_of("u", of_user), "m", of_model) == USER
    of_key, of_group = last.of(("u", "k")), last.of(("", "g"))
    assert of_key is not None
    assert of_group is not None
    assert LEVELS["u", "k"] == policy_of(KEY, of_key)
    assert LEVELS["", "g"] == policy_of(GROUP, of_group)


def test_a_refusal_forgets_neither_the_group_nor_how_to_reserve():
    last = heard(charge(5), charge(50))

    of_user = last.of(("u",))
    assert of_user is not None
    assert ("maximum", "g") == (of_user.reserve, of_user.group)


def test_a_share_of_what_was_used_is_rounded_up():
    of_user = heard(charge(5)).of(("u",))

    assert of_user is not None
    assert Amounts(1, 3) == of_user.used(tuple(USER.window), 2)


def test_who_is_unknown_now_is_forgotten():
    last = heard(charge(5))
    last.remember(charge(5), MemoryLimiter({}.get, lambda: 0.0).decide(charge(5), takes=True), 6.0)

    assert None is last.of(("u",))
