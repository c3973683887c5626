"""This machine: Python, Forebay itself, the packages of its extras, the servers that `forebay up` runs.

Lives here: looking at what is installed.  Not here: servers that run (forebay.doctor.servers).
"""

import os
import platform
from collections.abc import Iterator, Sequence
from importlib import metadata
from importlib.util import find_spec

import routing.table
from forebay.doctor.finding import Finding, State
from forebay.local.redis import NoRedisError, newest_server

MODULES = {
    "kubernetes": ("lightkube", "httpx2", "cryptography"),
    "optimizer": ("highspy",),
    "runtime": ("huggingface_hub", "obstore", "botocore", "google_crc32c", "httpx"),
    "engine": ("zmq", "msgpack", "httpx"),
    "simulate": ("matplotlib",),
    "console": ("dash", "dash_mantine_components", "websockets"),
}
"""Top-level modules that each extra brings."""
NEEDED_BY = {
    "kubernetes": "engines on Kubernetes, and forebay controllers",
    "optimizer": "forebay optimizer, forebay plan and forebay up --mix",
    "runtime": "forebay runtime and forebay download",
    "engine": "forebay engine --kv-events and forebay calibrate",
    "simulate": "the pictures of forebay simulate --report",
    "console": "forebay console",
}


def machine() -> Iterator[Finding]:
    """Yield what is known without asking any server."""
    yield _forebay()
    yield _redis_server()
    yield _envoy()
    for extra, modules in MODULES.items():
        yield _extra(extra, modules)


def _forebay() -> Finding:
    try:
        version = metadata.version("forebay")
    except metadata.PackageNotFoundError:
        version = "run from its source"
    text = f"{version}, Python {platform.python_version()}, {os.cpu_count()} cores, request path "
    if str(routing.table.__file__).endswith(".py"):
        return Finding(State.NOTE, "forebay", f"{text}interpreted", "make compiled, which takes less CPU per request")
    return Finding(State.OK, "forebay", f"{text}compiled")


def _redis_server() -> Finding:
    try:
        return Finding(State.OK, "redis-server", str(newest_server()))
    except NoRedisError:
        return _absent("redis-server", "forebay up", "up")


def _envoy() -> Finding:
    if find_spec("envoy") is None:
        return _absent("envoy", "forebay up", "up")
    from forebay.local.envoy import envoy_program  # noqa: PLC0415 - imports a package of the extra

    return Finding(State.OK, "envoy", str(envoy_program()))


def _extra(extra: str, modules: Sequence[str]) -> Finding:
    if any(find_spec(module) is None for module in modules):
        return _absent(f"extra {extra}", NEEDED_BY[extra], extra)
    return Finding(State.OK, f"extra {extra}", f"installed, for {NEEDED_BY[extra]}")


def _absent(subject: str, needed_by: str, extra: str) -> Finding:
    return Finding(State.NOTE, subject, f"not installed; needed by {needed_by}", f"pip install 'forebay[{extra}]'")
