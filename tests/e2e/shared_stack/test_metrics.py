"""The metrics that others alert on: their names, labels and truth (docs/contracts.md section 9)."""

from tests.support.stack import Stack, on
from tests.support.waiting import until

NAMES = {
    "forebay_requests_total": {"model", "strategy", "outcome"},
    "forebay_requests_in_flight": {"model"},
    "forebay_reservations_open": set(),
    "forebay_tokens_total": {"model", "kind"},
    "forebay_refusals_total": {"kind"},
    "forebay_decision_seconds_bucket": {"le"},
    "forebay_decision_seconds_count": set(),
    "forebay_limiter_seconds_sum": set(),
    "forebay_redis_up": set(),
    "forebay_loop_lag_seconds": set(),
    "forebay_endpoints": {"model", "state"},
}
TALLIES = ("input", "output", "reserved", "refunded")


@on("http2-metadata", "http2-ext_proc")
def test_traffic_moves_each_metric_by_what_it_was(stack: Stack):
    user = stack.user(rpm=3)
    for _ in range(8):  # of which the length of a prompt in tokens is learned
        stack.chat(stack.user(), max_tokens=1)
    stack.settled()
    before = figures(stack)

    used = [stack.chat(user, max_tokens=tokens).json()["usage"] for tokens in (4, 5)]
    assert 404 == stack.chat(user, model="gpt-9").status_code
    stack.settled()  # an answer is settled by its access-log entry, which comes after it
    asks = {"include_usage": True}
    with stack.stream(user, max_tokens=50, stream_options=asks) as answer:  # a second, at 20 ms each
        assert (1, 1) == (stack.in_flight(), stack.figure("forebay_reservations_open"))
        answer.read()
    assert 429 == stack.chat(user).status_code
    stack.settled()

    moved = {name: round(value - before[name], 6) for name, value in figures(stack).items()}
    tokens_in = 12 + sum(usage["prompt_tokens"] for usage in used)
    assert (3, 3, 1, 1) == (moved["ok"], moved["decisions"], moved["unknown_model"], moved["rpm"])
    assert (tokens_in, 59) == (moved["input"], moved["output"])
    assert 59 <= moved["reserved"] < 59 + 3 * 20
    assert moved["limiter_s"] > 0


def figures(stack: Stack) -> dict[str, float]:
    tallies = {kind: stack.figure("forebay_tokens_total", model=stack.model, kind=kind) for kind in TALLIES}
    refusals = {kind: stack.figure("forebay_refusals_total", kind=kind) for kind in ("unknown_model", "rpm")}
    return {
        **tallies,
        **refusals,
        "ok": stack.figure("forebay_requests_total", model=stack.model, strategy="forebay", outcome="ok"),
        "decisions": stack.figure("forebay_decision_seconds_count"),
        "limiter_s": stack.figure("forebay_limiter_seconds_sum"),
    }


def test_every_metric_of_the_contract_is_there_with_its_labels(stack: Stack):
    user = stack.user(rpm=1)
    assert [200, 429] == [stack.chat(user, max_tokens=1).status_code for _ in range(2)]
    stack.settled()
    until(lambda: ("forebay_loop_lag_seconds", frozenset()) in stack.metrics())  # there after the first flush

    found = {name: {label for label, _ in labels} for name, labels in stack.metrics()}

    assert NAMES == {name: found.get(name) for name in NAMES}
    assert 1 == stack.figure("forebay_redis_up")
    assert 2 == stack.figure("forebay_endpoints", model=stack.model, state="ready")
    assert 0 <= stack.figure("forebay_loop_lag_seconds") < 10


def test_what_clients_make_up_becomes_no_series(stack: Stack):
    user = stack.user()
    for name in ("made-up-1", "made-up-2"):
        stack.chat(user, model=name)
        stack.chat(user, headers={"routing-strategy": name})
        stack.users.get(f"/{name}")

    assert [] == [labels for _, labels in stack.metrics() if "made-up" in str(labels)]
