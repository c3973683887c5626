"""Replays on the gateway's fleet: traces of a line, small engines.

Lives here: builders.  Not here: engines for tests of the engine (model_engine).
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from forebay.simulation.replicas import Gateway
from gateway.config.settings import RoutingSettings
from gateway.fleet.fleet import Fleet
from gateway.fleet.ticket import Ticket
from ratelimit.limits import User
from simulator.core.engine import Engine
from simulator.replay import baselines
from simulator.replay.admission import Admission
from simulator.replay.replay import MODEL, Call, Replay, VirtualTime
from simulator.replay.traces import TraceRequest
from tests.support.model_engine import an_engine
from tests.support.pods import a_description, an_endpoint

MOONCAKE = Path(__file__).parents[1] / "data" / "mooncake_synthetic_trace.jsonl.xz"


def a_request(
    at_ms: float = 0.0, prompt: int = 8, output: int = 2, ids: Sequence[int] = (), user: str = ""
) -> TraceRequest:
    """8 tokens in, 2 out: two seconds on an engine that takes one a pass."""
    return TraceRequest(at_ms, prompt, output, tuple(ids), user)


def sim_fleet(pods: int, strategy: str = "round-robin", **options: Any) -> Fleet:
    """The gateway's fleet over pods that serve the replay's model, as a replay has it."""
    fleet = Fleet(RoutingSettings(strategy=strategy), random.Random(1), **({"build": baselines.build} | options))
    fleet.replace(a_description(*(an_endpoint(f"pod-{index}", models=(MODEL,)) for index in range(pods))))
    return fleet


def a_replay(
    trace: Iterable[TraceRequest],
    engines: Mapping[str, Engine] | None = None,
    *,
    strategy: str = "round-robin",
    users: Mapping[str, User] | None = None,
    **options: Any,
) -> Replay[Ticket]:
    """Two small engines unless others are given."""
    engines = engines or {f"pod-{index}": an_engine() for index in range(2)}
    time = VirtualTime()
    router = Gateway(options.pop("router", None) or sim_fleet(len(engines), strategy), RoutingSettings(), time)
    admission = Admission(users or {}, output_tokens=10)
    return Replay(
        trace=trace, engines=engines, router=router, time=time, strategy=strategy, admission=admission, **options
    )


def replayed(*trace: TraceRequest, **options: Any) -> Sequence[Call]:
    """The calls of a finished replay."""
    return a_replay(trace, **options).run()
