"""Requests at a steady rate through a stack's Envoy, in threads, while a test looks at what they do."""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx

from tests.support.stack import Stack

MOST_IN_FLIGHT = 48
"""More wait within the test: a machine that is busy gets no pile of requests."""
WORD = "abcd"
"""A token of simulated engines is four bytes of text."""


@dataclass
class Load:
    """Status, pod and decision of each answer, in the order of their ends."""

    answers: list[tuple[int, str, str]] = field(default_factory=list)

    @property
    def pods(self) -> list[str]:
        return [pod for _, pod, _ in self.answers]

    def later(self, count: int) -> list[tuple[int, str, str]]:
        """Those after the first `count`."""
        return self.answers[count:]


@contextlib.contextmanager
def steady_load(stack: Stack, per_s: float, prompt_tokens: int, output_tokens: int) -> Iterator[Load]:
    """Send such requests until the block ends, then wait for their answers.  No two share a prefix."""
    load, ended, numbers = Load(), threading.Event(), itertools.count()

    def ask() -> None:
        prompt = f"{next(numbers):08d}" + WORD * (prompt_tokens - 2)
        body = {"model": stack.model, "prompt": prompt, "max_tokens": output_tokens, "ignore_eos": True}
        answer = users.post("/v1/completions", json=body)
        said = answer.headers.get("target-pod", ""), answer.headers.get("x-forebay-decision", "")
        load.answers.append((answer.status_code, *said))

    def send() -> None:
        while not ended.wait(1 / per_s):
            requests.append(threads.submit(ask))

    requests: list[Future[None]] = []
    with (
        httpx.Client(base_url=stack.variables["GATEWAY"], trust_env=False, timeout=120) as users,
        ThreadPoolExecutor(MOST_IN_FLIGHT) as threads,
    ):
        sender = threading.Thread(target=send, name="sender")
        sender.start()
        try:
            yield load
        finally:
            ended.set()
            sender.join()
    for request in requests:
        request.result()
