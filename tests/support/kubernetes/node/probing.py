"""Probes of a container, as a kubelet runs them, but sooner until it is ready.

Until then it is looked at every 0.2 s, because a process starts faster than an image; at most one failure counts per
`periodSeconds`, so that thresholds keep their meaning.  Hooks before the end are looked at in the same way.
"""

import asyncio
import contextlib
import signal
import time

import grpc
import httpx

from tests.support.kubernetes.node.container import Container
from tests.support.kubernetes.node.objects import Json

EAGER_S = 0.2
SERVING = b"\x08\x01"
"""The answer of grpc.health.v1 of which this is the status."""


async def probe(container: Container, kind: str, host: str, http: httpx.AsyncClient) -> None:
    """Run one kind of probe, for ever: a startup probe until the container has started, the others from then on."""
    spec: Json = container.spec[kind]
    period_s, limit = spec.get("periodSeconds", 10), spec.get("failureThreshold", 3)
    good = bad = 0
    due_s = 0.0
    await asyncio.sleep(spec.get("initialDelaySeconds", 0))
    while True:
        if container.is_started == (kind == "startupProbe"):
            good = bad = 0  # it may start again
            await asyncio.sleep(EAGER_S / 2)
            continue
        if await succeeds(spec, container, host, http):
            good, bad = good + 1, 0
        elif time.monotonic() >= due_s:
            good, bad, due_s = 0, bad + 1, time.monotonic() + period_s
        if kind == "readinessProbe":
            container.be_ready(ready=good >= spec.get("successThreshold", 1) or (container.is_ready and bad < limit))
        elif kind == "startupProbe" and good:
            container.be_ready(ready="readinessProbe" not in container.spec)
        elif bad >= limit:
            container.signal(signal.SIGKILL)
            bad = 0
        await asyncio.sleep(period_s if container.is_ready or kind == "livenessProbe" else min(period_s, EAGER_S))


async def succeeds(spec: Json, container: Container, host: str, http: httpx.AsyncClient) -> bool:
    """Whether one look finds the container well."""
    limit_s = spec.get("timeoutSeconds", 1)
    with contextlib.suppress(OSError, httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(limit_s):
            if "exec" in spec:
                return await _exits_well(spec["exec"]["command"], container)
            target = spec.get("httpGet") or spec.get("tcpSocket") or spec["grpc"]
            at, port = target.get("host") or host, port_of(target["port"], container.spec)
            if "grpc" in spec:
                return await _is_serving(f"{at}:{port}", target.get("service", ""))
            if "tcpSocket" in spec:
                _, writer = await asyncio.open_connection(at, port)
                writer.close()
                return True
            path = "/" + target.get("path", "").lstrip("/")
            answer = await http.get(f"{target.get('scheme', 'http').lower()}://{at}:{port}{path}", timeout=limit_s)
            return answer.status_code < 400
    return False


def port_of(port: int | str, spec: Json) -> int:
    """The number of a port that a probe gives by number or by name."""
    if isinstance(port, int):
        return port
    return int(next(one["containerPort"] for one in spec["ports"] if one.get("name") == port))


async def before_end(container: Container, host: str, http: httpx.AsyncClient, grace_s: float) -> None:
    """Do what the container wants done before its process is told to end; at most as long as it has."""
    hook: Json = container.spec.get("lifecycle", {}).get("preStop", {})
    if "sleep" in hook:
        await asyncio.sleep(min(grace_s, hook["sleep"]["seconds"]))
    elif hook:
        await succeeds({**hook, "timeoutSeconds": grace_s}, container, host, http)


async def _is_serving(address: str, service: str) -> bool:
    """Ask grpc.health.v1, whose messages are small enough to be written by hand."""
    name = service.encode()
    async with grpc.aio.insecure_channel(address) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        with contextlib.suppress(grpc.aio.AioRpcError):
            return bool(await check(bytes((10, len(name))) + name if name else b"") == SERVING)
    return False


async def _exits_well(argv: list[str], container: Container) -> bool:
    quiet = asyncio.subprocess.DEVNULL
    command = (*container.inside(), *argv)
    process = await asyncio.create_subprocess_exec(*command, env=container.environment, stdout=quiet, stderr=quiet)
    try:
        return await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
