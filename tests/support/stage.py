"""A stage for strategies: the whole stack, and for each test a cast of four unequal simulated engines of its own.

A test builds a situation in which one pod is right, then asks PICKS times, so that chance would hardly say the same.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import yaml
from anyio.from_thread import start_blocking_portal

from simulator.core.gpus import GPUS, GpuProfile
from simulator.core.profile import Profile
from simulator.serving.server import running_engine
from tests.support.stack import Stack, running_stack
from tests.support.waiting import until

PODS: Mapping[str, GpuProfile] = {
    "a100": replace(GPUS["A100"], kv_blocks=1024),
    "h100": GPUS["H100"],
    "l20": replace(GPUS["L20"], kv_blocks=768),
    "l4": replace(GPUS["L4"], kv_blocks=512),
}
"""In the order of their names.  An H100's cache is as large as it is, the others' are small."""
LOADED = ("l20", "l4")
"""Those with the cast's LoRA adapter."""
PICKS = 6
"""Picks in a row; by chance one of four pods gets them all once in 4,096 times."""
LONG = 4000
"""Tokens of a stream that is held: half a minute of an H100."""
_CONFIG = "health: {interval_s: 5}\nscrape: {interval_s: 1}"


def always(pod: str) -> list[str]:
    """Return the picks when chance has no part in them."""
    return [pod] * PICKS


class Cast:
    """Four pods of one model that nobody has used before."""

    def __init__(self, stack: Stack, model: str, engines: Mapping[str, str], debug: httpx.Client) -> None:
        self.stack = stack
        self.model = model
        self.adapter = f"{model}-adapter"
        self.engines = engines  # name -> address
        self.reasons: list[str] = []  # of the last picks
        self.user = stack.user(rpm=100_000, tpm=100_000_000)
        self._debug = debug
        self._held = 0

    def ask(
        self,
        strategy: str = "",
        *,
        pod: str = "",
        prompt: str = "",
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> httpx.Response:
        """One chat completion of a token, at a certain pod if it is named."""
        sent: dict[str, str | bytes] = {"user": self.user} | ({"external-filter": f"gpu={pod}"} if pod else {})
        sent |= {"routing-strategy": strategy} if strategy else {}
        messages = [{"role": "user", "content": prompt or "Hello"}]
        body = self.stack.body(**{"model": self.model, "messages": messages, "max_tokens": 1} | body)
        return self.stack.users.post("/v1/chat/completions", json=body, headers=sent | dict(headers or {}))

    def picks(self, strategy: str = "", times: int = PICKS, **asked: Any) -> list[str]:
        """The pods that answer so many requests, each asked when the one before has ended; `reasons` says why."""
        pods, self.reasons = [], []
        for _ in range(times):
            answer = self.ask(strategy, **asked)
            assert 200 == answer.status_code, answer.text
            assert answer.headers["routing-strategy"] == strategy or not strategy
            pods.append(answer.headers["target-pod"].removeprefix(f"{self.model}-"))
            self.reasons.append(answer.headers["x-forebay-decision"])
            self.at_rest()
        return pods

    def teach(self, *work: tuple[str, int, int], user: str = "") -> None:
        """Have pods answer requests of so many prompt and output tokens, side by side; returns when all is learned."""

        def one(pod: str, prompt: int, output: int) -> int:
            headers = {"user": user or self.user}
            return self.ask(pod=pod, prompt=words(prompt), max_tokens=output, headers=headers).status_code

        with ThreadPoolExecutor(len(work)) as threads:
            assert {200} == set(threads.map(lambda each: one(*each), work))
        self.stack.settled()

    @contextlib.contextmanager
    def holding(self, prompt: int = 10, output: int = LONG, model: str = "", **streams: int) -> Iterator[None]:
        """Keep so many streams open on pods; each has a prompt of its own, and may be for the adapter."""
        with contextlib.ExitStack() as opened:
            for pod, count in streams.items():
                for _ in range(count):
                    opened.enter_context(self._stream(pod, prompt, output, model))
                    self._held += 1
            self.at_rest()
            yield
        self._held -= sum(streams.values())
        self.at_rest()

    @contextlib.contextmanager
    def _stream(self, pod: str, prompt: int, output: int, model: str) -> Iterator[None]:
        messages = [{"role": "user", "content": words(prompt)}]
        body = self.stack.body(model=model or self.model, messages=messages, max_tokens=output, stream=True)
        headers = {"external-filter": f"gpu={pod}", "user": self.user}
        with self.stack.users.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
            assert (200, f"{self.model}-{pod}") == (answer.status_code, answer.headers["target-pod"])
            yield

    @contextlib.contextmanager
    def behind_the_back(self, prompt: int = 10, **streams: int) -> Iterator[None]:
        """Keep streams open on engines that the gateway knows nothing about."""
        limits = httpx.Limits(max_connections=None)
        with contextlib.ExitStack() as opened, httpx.Client(trust_env=False, limits=limits) as client:
            for pod, count in streams.items():
                for _ in range(count):
                    messages = [{"role": "user", "content": words(prompt)}]
                    body = self.stack.body(model=self.model, messages=messages, max_tokens=LONG, stream=True)
                    url = f"http://{self.engines[pod]}/v1/chat/completions"
                    opened.enter_context(client.stream("POST", url, json=body))
            yield

    def at_rest(self) -> None:
        """Wait until nothing is in flight but what is held."""
        until(lambda: self._held == sum(state["in_flight"] for state in self.states()))

    def states(self) -> list[dict[str, Any]]:
        """The pods as strategies see them."""
        return [state for state in self._debug.get("/debug/fleet").json() if self.model in state["models"]]

    def state(self, pod: str) -> dict[str, Any]:
        """One of them."""
        return next(state for state in self.states() if state["pod"] == f"{self.model}-{pod}")

    def decisions(self) -> list[dict[str, Any]]:
        """The latest, newest first."""
        return list(self._debug.get("/debug/decisions").json())

    def signals(self, signal: str, condition: Callable[[Mapping[str, float | None]], object]) -> None:
        """Wait until what the engines say of themselves, by pod, is so."""
        until(lambda: condition({pod: self.state(pod)["signals"][signal] for pod in PODS}))

    def set_speed(self, pod: str, **speed: float) -> None:
        """Make an engine this fast."""
        httpx.post(f"http://{self.engines[pod]}/sim/speed", json=speed, trust_env=False).raise_for_status()

    def describe(self, engines: Mapping[str, str] | None = None, **policy: Any) -> None:
        """Change the model's policy, or addresses of its pods; returns when gateway and Envoy know."""
        self.engines = {**self.engines, **(engines or {})}
        reloads = self._reloads()
        others = [model for model in self.stack.models() if model["name"] != self.model]
        self.stack.write_models(yaml.safe_dump([*others, described(self.model, self.engines) | policy]))
        until(lambda: self._reloads() > reloads and all(map(self.stack.routes_to, self.engines.values())))

    def _reloads(self) -> float:
        return self.stack.figure("forebay_config_reloads_total", outcome="success")


def described(model: str, engines: Mapping[str, str]) -> dict[str, Any]:
    """A cast as the models file says it."""
    endpoints = [
        {
            "address": address,
            "name": f"{model}-{pod}",
            "gpu": pod,
            "deployment": pod,
            "labels": {"gpu": pod, "memory": "large" if pod == "h100" else "small"},
            "adapters": [f"{model}-adapter"] * (pod in LOADED),
        }
        for pod, address in engines.items()
    ]
    return {"name": model, "endpoints": endpoints}


def words(tokens: int) -> str:
    """A text of about so many tokens, by four bytes each, that begins like no other."""
    return (uuid4().hex + "water turns the wheel " * (tokens // 5))[: 4 * tokens]


@contextlib.contextmanager
def a_stage(data: Path, casts: int) -> Iterator[Sequence[Cast]]:
    """So many casts behind one gateway on the default transport, one Envoy and one Redis."""
    with contextlib.ExitStack() as parts:
        ending = contextlib.ExitStack()
        portal = parts.enter_context(start_blocking_portal(backend_options={"use_uvloop": True}))

        def address(model: str, pod: str, gpu: GpuProfile) -> str:
            adapters = (f"{model}-adapter",) * (pod in LOADED)
            engine = running_engine(Profile(model, pod, adapters, gpu))
            running = parts.enter_context(portal.wrap_async_context_manager(engine))
            ending.callback(running.stop)
            return running.address

        models = [f"cast-{number}" for number in range(1, casts + 1)]
        engines = {model: {pod: address(model, pod, gpu) for pod, gpu in PODS.items()} for model in models}
        stack = parts.enter_context(running_stack(data, engines=0, config=_CONFIG))
        debug = parts.enter_context(httpx.Client(base_url=stack.variables["HTTP"], trust_env=False))
        stack.write_models(yaml.safe_dump([described(*cast) for cast in engines.items()]))
        until(lambda: stack.routes_to(engines[models[-1]]["l4"]), limit_s=20)
        parts.push(ending)  # all engines are told to end before the first one's end is waited for
        yield [Cast(stack, model, engines[model], debug) for model in models]
