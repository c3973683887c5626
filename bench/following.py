"""A set of pods that follows a Kubernetes API server: CPU per event, memory, and how long the first list takes.

Lives here: the measurement, and a server that has pods as large as real ones.  Not here: tables (report).
`python -m bench.following URL PODS PACED STORM` is the process that follows; it is measured without TLS.
"""

import asyncio
import contextlib
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
import structlog
from lightkube.config.kubeconfig import KubeConfig

from bench.memory import resident
from bench.processes import python_module
from bench.serving import served
from gateway.discovery.pods import PODS as POD_KIND
from kube.client import ALL, PAGE_ITEMS, Client, Selection
from kube.following import PACE
from kube.informer import Informer

PODS = 5_000
"""Pods in the set."""
RATE = 100
"""Events per second while they are paced."""
PACED, STORM = 500, 10_000
"""Events that are paced, and events that come as fast as they are read."""


@dataclass(frozen=True, slots=True)
class FollowFigures:
    """The cost of following, to one process."""

    pods: int
    pod_bytes: int  # as the server sends it
    list_s: float
    list_cpu_s: float
    kept_bytes: int  # by which listing and following grew the process, per pod
    paced_us: float  # CPU per event at RATE
    storm_us: float  # CPU per event when they come all at once

    @property
    def core(self) -> float:
        """Return the share of a core that RATE events per second take."""
        return RATE * self.paced_us / 1e6


async def measure_following(
    progress: Callable[[str], None], pods: int = PODS, paced: int = PACED, storm: int = STORM
) -> FollowFigures:
    """Measure a process of its own; takes PACED / RATE and some seconds."""
    progress(f"following {pods} pods")
    with _server(pods, paced, storm) as url:
        command = python_module("bench.following", url, str(pods), str(paced), str(storm))
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        written, _ = await process.communicate()
    return FollowFigures(pods, len(a_pod(0, 0)), **json.loads(written))


async def follow(url: str, pods: int, paced: int, storm: int) -> Mapping[str, float]:
    """Follow the server and return what it cost."""
    config = KubeConfig.from_server(url).get()
    assert config is not None  # noqa: S101 - a benchmark
    gc.collect()
    before, began_s, began_cpu_s = resident(), time.perf_counter(), time.process_time()
    async with Client(config, "forebay-bench") as client:
        informer = Informer(client, POD_KIND, ALL, Random(1), PACE)
        task = asyncio.create_task(informer.run(), name="follow")
        changes = informer.changes()
        await anext(changes)
        listed_s, listed_cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        spent_us = {}
        for phase, events in (("paced", paced), ("storm", storm)):
            goal, phase_cpu_s = informer.counts.events + events, time.process_time()
            await client.list(POD_KIND, Selection(phase))  # the server begins when it is asked for this namespace
            while informer.counts.events < goal:
                await anext(changes)
            spent_us[phase] = (time.process_time() - phase_cpu_s) / events * 1e6
        gc.collect()
        kept = (resident() - before) // pods
        task.cancel()
    return {
        "list_s": listed_s,
        "list_cpu_s": listed_cpu_s,
        "kept_bytes": kept,
        "paced_us": spent_us["paced"],
        "storm_us": spent_us["storm"],
    }


def a_pod(number: int, version: int) -> bytes:
    """Return a pod of two containers as a server sends it, with who manages which field: 8 KB."""
    probe = {"httpGet": {"path": "/health", "port": 8000, "scheme": "HTTP"}, "periodSeconds": 5, "failureThreshold": 3}
    container = {
        "image": "registry.example.org/engines/vllm-openai:v0.32.0",
        "args": ["--model", "/models/deepseek-r1-distill-llama-8b", "--max-model-len", "12288", "--port", "8000"],
        "env": [{"name": f"ENGINE_OPTION_{at}", "value": f"value-{at}"} for at in range(20)],
        "resources": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"nvidia.com/gpu": "1", "cpu": "8"}},
        **{f"{kind}Probe": probe for kind in ("startup", "readiness", "liveness")},
        "volumeMounts": [{"name": f"volume-{at}", "mountPath": f"/models/{at}"} for at in range(4)],
    }
    managed: dict[str, Any] = {f"f:field-{at}": {".": {}, "f:name": {}, "f:value": {}} for at in range(44)}
    conditions = [{"type": kind, "status": "True"} for kind in ("Ready", "Initialized", "PodScheduled")]
    pod: dict[str, Any] = {
        "metadata": {
            "name": f"deepseek-r1-distill-llama-8b-{number:05}",
            "namespace": "default",
            "uid": f"00000000-0000-4000-8000-{number:012}",
            "resourceVersion": str(version),
            "labels": {"model.aibrix.ai/name": "deepseek-r1-distill-llama-8b", "app": "deepseek"},
            "managedFields": [{"manager": name, "fieldsV1": managed} for name in ("kcm", "kubelet")],
        },
        "spec": {"nodeName": f"node-{number % 500}", "containers": [{"name": n, **container} for n in ("vllm", "aux")]},
        "status": {"phase": "Running", "podIP": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"},
    }
    pod["status"] |= {"startTime": "2026-11-30T09:00:00Z", "conditions": conditions}
    return msgspec.json.encode(pod)


def _list(pods: int, page: int) -> bytes:
    numbers = range(page * PAGE_ITEMS, min(pods, (page + 1) * PAGE_ITEMS))
    rest = f',"continue":"{page + 1}"' if numbers.stop < pods else ""
    items = b",".join(a_pod(number, number + 1) for number in numbers)
    return b'{"metadata":{"resourceVersion":"%d"%s},"items":[%s]}' % (pods, rest.encode(), items)


def _chunk(pod: bytes) -> bytes:
    """Return an event as the API server sends it: in a chunk of its own."""
    event = b'{"type":"MODIFIED","object":%s}\n' % pod
    return b"%x\r\n%s\r\n" % (len(event), event)


@contextlib.contextmanager
def _server(pods: int, paced: int, storm: int) -> Iterator[str]:
    """Yield the URL of a server that has so many pods and tells so many events."""
    pages = [_list(pods, page) for page in range(-(-pods // PAGE_ITEMS))]
    events = [_chunk(a_pod(at % pods, pods + at + 1)) for at in range(paced + storm)]

    begun = {"paced": asyncio.Event(), "storm": asyncio.Event()}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n")
        if "watch=true" in target:
            writer.write(b"transfer-encoding: chunked\r\n\r\n")
            await begun["paced"].wait()
            for event in events[:paced]:
                writer.write(event)
                await asyncio.sleep(1 / RATE)
            await begun["storm"].wait()
            for event in events[paced:]:
                writer.write(event)
                await writer.drain()
            await reader.read()
        elif phase := next((phase for phase in begun if f"/namespaces/{phase}/" in target), None):
            writer.write(b"\r\n" + _list(0, 0))
            begun[phase].set()
        else:
            writer.write(b"\r\n" + pages[int(target.partition("continue=")[2] or 0)])
        writer.close()

    with served(answer) as address:
        yield f"http://{address}"


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    sizes = (int(size) for size in sys.argv[2:])
    sys.stdout.write(json.dumps(asyncio.run(follow(sys.argv[1], *sizes))))
