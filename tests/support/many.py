"""Very many streams at once from one cheap client, and what processes cost meanwhile."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Stream(asyncio.Protocol):
    """One request on one connection; keeps the bytes of its answer and reads them only when asked."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self._data = bytearray()
        self.ended = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._wire)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._data.endswith(b"\r\n0\r\n\r\n"):
            self.cut()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    @property
    def speaks(self) -> bool:
        """Whether its first token has come."""
        return b"data: " in self._data

    def cut(self) -> None:
        """Leave, also in the middle."""
        self._transport.abort()

    def events(self) -> list[bytes]:
        """The data of each event, in the order of arrival; the framing of chunks taken off."""
        head, _, rest = bytes(self._data).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        body = bytearray()
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return [event.removeprefix(b"data: ") for event in bytes(body).split(b"\n\n") if event]

    def text(self) -> str:
        """The text of the answer, of a stream that is complete."""
        *events, done = self.events()
        assert b"[DONE]" == done
        assert b"[DONE]" not in events
        choices = [choice for event in events for choice in orjson.loads(event)["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


async def open_stream(port: int, wire: bytes) -> Stream:
    """Connect and ask."""
    _, stream = await asyncio.get_running_loop().create_connection(lambda: Stream(wire), "127.0.0.1", port)
    return stream


@dataclass
class Costs:
    """CPU seconds since the beginning, and memory and files now, of each process by name."""

    pids: Mapping[str, int]
    _began: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._began = {name: cpu_s(pid) for name, pid in self.pids.items()}

    def lines(self) -> Sequence[str]:
        """One for each process."""
        return [
            f"{name:<10} {cpu_s(pid) - began_s:6.2f} CPU s  {resident_mb(pid):6.1f} MB  {open_files(pid)} files"
            for (name, pid), began_s in zip(self.pids.items(), self._began.values(), strict=True)
        ]


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def open_files(pid: int) -> int:
    """Open files, sockets included."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
