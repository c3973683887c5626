"""Memory of one worker that serves whatever comes: what endless unique values leave behind, what a held stream takes.

Lives here: the measurement, on a real worker without Envoy, by ext_proc streams.  Not here: tables (report), memory of
what is remembered of prompts (memory).
"""

import asyncio
import resource
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import orjson
import uvloop

from bench.processes import free_ports, python_module, running
from bench.variants import GATEWAY, gateway_and_redis, settings_for
from bench.workloads import MODEL, USER
from gateway.config.settings import Settings
from gateway.pb import core_pb2 as core
from gateway.pb import ext_proc_pb2 as pb
from gateway.pb import processing_mode_pb2 as mode

PODS = 8
WARM_UP, FIRST, REQUESTS = 6_000, 1_000, 2_500
"""Requests until a worker has its size, of each kind before growth counts, and while it does."""
AT_ONCE = 32
STREAMS = 5_000
HELD_S = 10.0
SETTLE_S = 2.5
"""Seconds until requests whose access log never comes are settled."""
USERS = 1_000
_METHOD = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)

Kind = Callable[[int], tuple[Mapping[str, str], str, str]]
"""Returns of a request by its number the headers, the model and the prompt."""

KINDS: Mapping[str, Kind] = {
    "equal requests": lambda _: ({"user": USER}, MODEL, "Say this"),
    "prompts": lambda number: ({"user": USER}, MODEL, f"{number} " * 1000),
    "users with limits": lambda number: ({"user": f"{USER}-{number % USERS}"}, MODEL, "Say this"),
    "users that nobody knows": lambda number: ({"user": f"nobody-{number}"}, MODEL, "Say this"),
    "models": lambda number: ({"user": USER}, f"model-{number}", "Say this"),
    "sessions": lambda number: (
        {"user": USER, "x-session-id": f"{number}", "routing-strategy": "session-affinity"}, MODEL, "Say this"
    ),
    "strategies": lambda number: ({"user": USER, "routing-strategy": f"random:{number},least-request:1"}, MODEL, "Say"),
    "names of headers": lambda number: ({"user": USER, f"x-{number}": f"{number}"}, MODEL, "Say this"),
    "cache salts": lambda number: ({"user": USER}, MODEL, f'","cache_salt":"{number}","x":"'),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GrowthFigures:
    """Memory in bytes."""

    growth: Mapping[str, float]
    """Left behind by 10,000 more requests, by kind."""
    stream: float
    """Taken by a stream while its answer runs."""
    users: float
    """Taken by 1,000 users with limits, once they have been served."""
    pods: float
    """Taken by 100 pods, with what asking them needs."""


def measure_growth(directory: Path, progress: Callable[[str], None]) -> GrowthFigures:
    """Measure; takes two minutes."""
    progress("memory that requests leave behind")
    with ExitStack() as stack:
        (few, many) = (free_ports(count) for count in (PODS, PODS + 100))
        stack.enter_context(running("pods", python_module("bench.backend", *map(str, few + many)), many[-1], directory))
        sizes = [uvloop.run(_idle_bytes(settings_for(*ports), directory)) for ports in (few, many)]
        streams = uvloop.run(_stream_bytes(settings_for(*few), directory))
        growth, users = uvloop.run(_growth(settings_for(*few), directory))
    return GrowthFigures(growth, streams, users, sizes[1] - sizes[0])


async def _idle_bytes(settings: Settings, directory: Path) -> float:
    with gateway_and_redis(settings, directory) as pids:
        await asyncio.sleep(SETTLE_S + 4)
        return _resident(_worker(pids[GATEWAY][0]))


async def _growth(settings: Settings, directory: Path) -> tuple[Mapping[str, float], float]:
    """Return what requests of each kind leave behind, and what USERS users take."""
    with gateway_and_redis(settings, directory) as pids:
        worker = _worker(pids[GATEWAY][0])
        async with httpx.AsyncClient(trust_env=False) as client:
            for number in range(USERS):
                user = {"name": f"{USER}-{number}", "rpm": 10**9, "tpm": 10**12}
                (await client.post(f"http://{settings.listen.admin}/CreateUser", json=user)).raise_for_status()
        async with grpc.aio.insecure_channel(settings.listen.grpc, options=_OPTIONS) as channel:
            growth, users = {}, 0.0
            await _send(channel, KINDS["equal requests"], 0, WARM_UP)
            for name, kind in KINDS.items():
                before = _resident(worker)
                await _send(channel, kind, 0, FIRST)
                warm = _resident(worker)
                await _send(channel, kind, FIRST, REQUESTS)
                growth[name] = (_resident(worker) - warm) * 10_000 / REQUESTS
                users = warm - before if kind is KINDS["users with limits"] else users
            return growth, users


async def _send(channel: grpc.aio.Channel, kind: Kind, first: int, count: int) -> None:
    """Send requests whose answers end at once, AT_ONCE at a time, and wait until all are settled."""
    numbers = iter(range(first, first + count))

    async def send() -> None:
        for number in numbers:
            async with asyncio.timeout(SETTLE_S * 10):
                await _replies(channel, kind(number))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(send())
    await asyncio.sleep(SETTLE_S)


async def _stream_bytes(settings: Settings, directory: Path) -> float:
    """Return the bytes per stream of STREAMS whose answers run for HELD_S, in a worker that has served before."""
    kind = KINDS["equal requests"]
    with gateway_and_redis(settings, directory) as pids:
        async with grpc.aio.insecure_channel(settings.listen.grpc, options=_OPTIONS) as channel:
            await _send(channel, kind, 0, WARM_UP)
            worker, held = _worker(pids[GATEWAY][0]), asyncio.Event()
            before = _resident(worker)
            async with asyncio.TaskGroup() as group:
                for number in range(STREAMS):
                    group.create_task(_replies(channel, kind(number), held))
                    if number % AT_ONCE == 0:
                        await asyncio.sleep(0.05)
                await asyncio.sleep(HELD_S)
                taken = (_resident(worker) - before) / STREAMS
                held.set()
            return taken


async def _replies(
    channel: grpc.aio.Channel, request: tuple[Mapping[str, str], str, str], until: asyncio.Event | None = None
) -> None:
    """Send a request, read its replies, and end the stream as Envoy does, once `until` is set."""
    call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(_METHOD)()
    with suppress(grpc.aio.AioRpcError):  # a refusal ends the call
        for message in _messages(*request):
            await call.write(message)
            await call.read()
    if until is not None:
        await until.wait()
    call.cancel()


def _messages(headers: Mapping[str, str], model: str, prompt: str) -> tuple[bytes, bytes]:
    fields = {":method": "POST", ":path": "/v1/chat/completions", "content-type": "application/json", **headers}
    opened = pb.ProcessingRequest()
    opened.protocol_config.request_body_mode = mode.ProcessingMode.BUFFERED
    opened.request_headers.headers.headers.extend(
        core.HeaderValue(key=key, raw_value=value.encode()) for key, value in fields.items()
    )
    body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 16})
    return opened.SerializeToString(), pb.ProcessingRequest(
        request_body=pb.HttpBody(body=body, end_of_stream=True)
    ).SerializeToString()


def _worker(parent: int) -> int:
    """Return the process of the only worker."""
    (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(child)


def _resident(pid: int) -> float:
    """Return the bytes of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * float(resource.getpagesize())
