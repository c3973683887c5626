"""A whole `forebay up` (or the service alone) for tests of failure, and clients that note what became of each request.

The clients are raw sockets on purpose: a library would retry, pool or hide the resets that these tests count.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.support.logs import failed_tasks
from tests.support.polling import until
from tests.support.programs import Program, program

MODEL = "deepseek-r1-distill-llama-8b"
IN_FLIGHT, RESERVED = "forebay_requests_in_flight", "forebay_reservations_open"


@dataclass
class Stack:
    """A running `forebay up`."""

    up: Program
    data: Path
    env: dict[str, str]

    @property
    def port(self) -> int:
        """The address that users send requests to."""
        return int(self.env["GATEWAY"].rpartition(":")[2])

    def pids(self) -> dict[str, int]:
        """Every process by name, as run.json says now."""
        return {part["name"]: part["pid"] for part in orjson.loads((self.data / "run.json").read_bytes())}

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the signal to a part; after SIGKILL, wait until run.json names its successor."""
        pid = self.pids()[name]
        os.kill(pid, number)
        if number is signal.SIGKILL:
            await until(lambda: self.pids().get(name, pid) != pid)

    async def admin(self, call: str, **user: Any) -> httpx.Response:
        """One call of the admin REST; it must answer."""
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            return await client.post(f"{self.env['ADMIN']}/{call}", json=user)

    async def usage(self, user: str) -> tuple[int, int]:
        """Requests and tokens in the user's window."""
        return await usage_of(user, self.env["ADMIN"])

    async def gauge(self, name: str, **labels: str) -> float | None:
        """The sum of the series of a metric with these labels; None when there is no page or no such series."""
        try:
            return await gauge_of(self.env["HTTP"], name, **labels)
        except httpx.TransportError:
            return None

    async def settles(self) -> None:
        """Wait until both gauges are exactly zero."""

        async def at_rest() -> bool:
            return [0.0, 0.0] == [await self.gauge(IN_FLIGHT), await self.gauge(RESERVED)]

        await until(at_rest, every_s=0.1)

    async def set_speed(self, **speed: float) -> None:
        """Make every engine this fast from now on."""
        await set_speed_of(self.env["ENGINES"].split(), **speed)


async def usage_of(user: str, admin: str) -> tuple[int, int]:
    """Requests and tokens in the user's window, as the admin REST at this URL says."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        page = (await client.get(f"{admin}/users/{user}/usage")).json()
    return page["requests"], page["tokens"]


async def gauge_of(http: str, name: str, **labels: str) -> float | None:
    """The sum of the series of a metric with these labels on the page at this URL; None when there is none."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        page = (await client.get(f"{http}/metrics")).text
    series = [line for line in page.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    values = [line.rsplit(" ", 1)[1] for line in series if all(label in line for label in wanted)]
    return sum(map(float, values)) if values else None


async def set_speed_of(engines: Sequence[str], **speed: float) -> None:
    """Make the engines at these URLs this fast from now on."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        for url in engines:
            (await client.post(f"{url}/sim/speed", json=speed)).raise_for_status()


@contextlib.asynccontextmanager
async def running_up(data: Path, *arguments: str, config: str = "") -> AsyncIterator[Stack]:
    """`forebay up` until the end of the block; `config` is the text of a configuration to start from."""
    if config:
        file = data.with_name(f"{data.name}.yaml")
        file.write_text(config)
        arguments = (*arguments, "--config", str(file))
    async with program("forebay", "up", "--no-console", "--data", str(data), *arguments) as up:
        await up.prints("ready")
        await up.prints("temperature")
        lines = [line.partition("=") for line in (data / "env").read_text().splitlines()]
        yield Stack(up, data, {name: value.strip('"') for name, _, value in lines})
    assert [] == failed_tasks(data)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one request.  `status` None: no answer; `whole`: its last byte came."""

    sent_s: float
    ended_s: float
    status: int | None
    whole: bool
    body: bytes
    why: str = ""
    pod: str = ""  # that answers, says the head

    @property
    def label(self) -> str:
        """One word for counting."""
        if self.status is None or not self.whole:
            return f"{'no answer' if self.status is None else 'cut off'}: {self.why}"
        return str(self.status) if self.status == 200 or "error" in self._json() else f"{self.status} without an error"

    def _json(self) -> dict[str, Any]:
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return value if isinstance(value, dict) else {}


def request(user: str = "", *, content: str = "Say this is a test!", strategy: str = "", **fields: Any) -> bytes:
    """A chat completion as it goes over the wire."""
    body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": content}], **fields})
    named = {"user": user, "routing-strategy": strategy}
    said = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: forebay\r\n{said}content-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Client:
    """One connection that is opened when needed and used as long as it lasts."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader

    async def ask(self, wire: bytes) -> Outcome:
        """Send and read to the end; never raises for what the other side does."""
        sent_s = time.monotonic()
        status, body, why, pod = None, bytearray(), "", ""
        try:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
            self._writer.write(wire)
            status, length, pod = head_of(await self._reader.readuntil(b"\r\n\r\n"))
            if length is None:
                async for piece in chunks(self._reader):
                    body += piece
            else:
                body += await self._reader.readexactly(length)
        except asyncio.IncompleteReadError as error:
            why = "closed"
            body += error.partial
        except OSError as error:
            why = type(error).__name__
        if why:
            self.close()
        return Outcome(sent_s, time.monotonic(), status, not why, bytes(body), why, pod)

    def close(self) -> None:
        """Leave at once."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None


async def ask(port: int, wire: bytes) -> Outcome:
    """One request on a connection of its own."""
    client = Client(port)
    try:
        return await client.ask(wire)
    finally:
        client.close()


def head_of(head: bytes) -> tuple[int, int | None, str]:
    """Status, content-length (None = chunked), and the pod that answers."""
    status, *lines = head.decode("latin-1").lower().split("\r\n")
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = headers.get("content-length")
    return int(status.split()[1]), int(length) if length else None, headers.get("target-pod", "")


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The pieces of a chunked body."""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)


@dataclass
class Load:
    """Requests without pause from several clients until `stop`; `pace_s` lies between two of a client."""

    port: int
    wires: Sequence[bytes]
    pace_s: float = 0.02
    outcomes: list[Outcome] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _last_sent_s: list[float] = field(default_factory=list)
    _stopping: bool = False

    def start(self) -> "Load":
        """One client per request."""
        self._last_sent_s = [0.0 for _ in self.wires]
        self._tasks = [asyncio.create_task(self._client(index, wire)) for index, wire in enumerate(self.wires)]
        return self

    async def stop(self) -> None:
        """Let every client finish what it has asked."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def succeeds(self, after_s: float, count: int = 20) -> None:
        """Wait until so many requests sent after this moment were answered with 200."""
        await until(lambda: sum(1 for each in self.outcomes if each.sent_s > after_s and each.label == "200") >= count)

    async def goes_round(self, after_s: float) -> None:
        """Wait until every client has the outcome of a request sent after this moment."""
        await until(lambda: min(self._last_sent_s) > after_s)

    async def recovers(self) -> None:
        """Wait until every client in one round was answered with 200."""
        failed = True
        while failed:
            round_s = time.monotonic()
            await self.goes_round(round_s)
            failed = {"200"} != labels([each for each in self.outcomes if each.sent_s > round_s]).keys()

    def since(self, moment_s: float) -> list[Outcome]:
        """Return the outcomes of requests that ended after this moment."""
        return [each for each in self.outcomes if each.ended_s > moment_s]

    async def _client(self, index: int, wire: bytes) -> None:
        client = Client(self.port)
        while not self._stopping:
            self.outcomes.append(await client.ask(wire))
            self._last_sent_s[index] = self.outcomes[-1].sent_s
            await asyncio.sleep(self.pace_s)
        client.close()


def labels(outcomes: Sequence[Outcome]) -> Counter[str]:
    """How many of each kind."""
    return Counter(each.label for each in outcomes)


def recovered_after_s(outcomes: Sequence[Outcome], broken_s: float) -> float:
    """From the moment something broke to the end of the last request that failed because of it."""
    return max((each.ended_s - broken_s for each in outcomes if each.label != "200"), default=0.0)


def longest_s(outcomes: Sequence[Outcome], of: Callable[[Outcome], bool] = lambda _: True) -> float:
    """The longest wait among some."""
    return max((each.ended_s - each.sent_s for each in outcomes if of(each)), default=0.0)
