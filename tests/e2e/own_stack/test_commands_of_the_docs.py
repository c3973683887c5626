"""The commands of docs/operations.md for two gateways behind one Envoy, as they are printed there, on other ports."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.support.ports import free_ports
from tests.support.source_tree import read
from tests.support.waiting import until

pytestmark = pytest.mark.e2e
_SECTION = re.compile(r"### Several gateways behind one Envoy\n(.*?)\n\*\*", re.DOTALL)
_COMMANDS = re.compile(r"(?:^    .*\n)+", re.MULTILINE)
_PORT = re.compile(r"\b8\d\d\d\b")


def commands() -> list[str]:
    """Those that start everything, and those that ask, on free ports in the same order."""
    (section,) = _SECTION.findall(read(Path("docs/operations.md")))
    start, ask = (re.sub("^    ", "", block, flags=re.MULTILINE) for block in _COMMANDS.findall(section))
    printed = sorted(set(_PORT.findall(start)))
    ports = dict(zip(printed, map(str, free_ports(len(printed))), strict=True))
    return [_PORT.sub(lambda port: ports[port[0]], text) for text in (start, ask)]


@contextmanager
def started(script: str, folder: Path) -> Iterator[dict[str, str]]:
    """Everything that the commands started, ended with the block; the environment of a shell for further ones."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    shell = subprocess.Popen(
        ["sh", "-ec", f"trap wait TERM\n{script}\nwait"], cwd=folder, env=environment, start_new_session=True
    )
    try:
        yield environment
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
        shell.wait()


def test_two_gateways_answer_behind_one_envoy(tmp_path: Path):
    start, ask = commands()
    with started(start, tmp_path) as environment:
        for log in ("gateway-1.log", "gateway-2.log"):
            until(lambda log=log: "ready:" in (tmp_path / log).read_text(), limit_s=40)
        admin = re.findall(r"admin: \"(.*?)\"", start)[-1]

        def answers() -> bool:
            done = subprocess.run(["sh", "-ec", ask], env=environment, capture_output=True, text=True, check=False)
            return '"usage"' in done.stdout

        until(answers, limit_s=40)

        def is_settled() -> bool:
            usage = httpx.get(f"http://{admin}/users/lgy/usage", trust_env=False).json()
            return usage["requests"] == 1 and usage["tokens"] < 200

        until(is_settled, limit_s=20)
