"""Rate-limit headers are on every answer to a known user with limits, whoever makes the answer."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.support.own_engine import own_engine
from tests.support.stack import Stack, on

pytestmark = on("impatient-metadata", "impatient-ext_proc")

NAMES = (
    *(f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset") for kind in ("requests", "tokens")),
    "ratelimit-policy", "ratelimit", "x-update-rpm", "x-update-tpm", "x-request-id",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _mended(stack: Stack) -> Iterator[None]:
    yield
    stack.no_faults()
    stack.settled()


def streamed(stack: Stack, user: str) -> httpx.Response:
    with stack.stream(user, max_tokens=3) as answer:
        answer.read()
    return answer


def with_fault(kind: str) -> Callable[[Stack, str], httpx.Response]:
    def ask(stack: Stack, user: str) -> httpx.Response:
        stack.fault(kind)
        return stack.chat(user)

    return ask


def of_an_engine_that_is_down(stack: Stack, user: str) -> httpx.Response:
    with own_engine() as engine:
        stack.serve("down", engine.address)
    return stack.chat(user, model="down")


ANSWERS: dict[str, tuple[int, Callable[[Stack, str], httpx.Response]]] = {
    "an answer": (200, lambda stack, user: stack.chat(user)),
    "a stream": (200, streamed),
    "models": (200, lambda stack, user: stack.users.get("/v1/models", headers={"user": user})),
    "a bad body": (400, lambda stack, user: stack.chat(user, messages="x")),
    "an unknown model": (404, lambda stack, user: stack.chat(user, model="gpt-9")),
    "an unknown path": (404, lambda stack, user: stack.post("/v1/nope", user, {})),
    "a wrong method": (405, lambda stack, user: stack.users.get("/v1/completions", headers={"user": user})),
    "a body too large": (413, lambda stack, user: stack.post("/v1/completions", user, {"prompt": "x" * (17 << 20)})),
    "the engine's refusal": (400, lambda stack, user: stack.chat(user, temperature=-1)),
    "the engine's error": (500, with_fault("error")),
    "Envoy's own 504": (504, with_fault("never_answer")),
    "Envoy's own 503": (503, of_an_engine_that_is_down),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_answer_tells_the_limits(stack: Stack, kind: str):
    status, ask = ANSWERS[kind]

    answer = ask(stack, stack.user(rpm=10, tpm=1000))

    assert status == answer.status_code
    assert [] == [name for name in NAMES if name not in answer.headers]
    assert ("10", "1000") == tuple(answer.headers[f"x-ratelimit-limit-{kind}"] for kind in ("requests", "tokens"))
