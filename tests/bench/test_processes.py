"""Processes of the benchmark: CPU time includes children, and the error of a failed start says why."""

import sys
import time

import pytest

from bench.processes import StartError, cpu_seconds, free_port, running

BUSY_S = 0.2
SERVE = "import socket,sys,time; s = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
SPIN = f"exec('while time.process_time() < {BUSY_S}: pass');"
CHILD = f"import subprocess; subprocess.Popen([sys.executable, '-c', \"import time; {SPIN} time.sleep(60)\"]);"


def python(code: str, port: int) -> tuple[str, ...]:
    return (sys.executable, "-c", code, str(port))


def wait_for_cpu(pid: int, seconds: float) -> None:
    deadline = time.monotonic() + 30
    while cpu_seconds(pid) < seconds:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_cpu_time_grows_with_work(tmp_path):
    port = free_port()
    with running("busy", python(f"{SERVE} {SPIN} time.sleep(60)", port), port, tmp_path) as pid:
        wait_for_cpu(pid, BUSY_S)


def test_children_count_too(tmp_path):
    port = free_port()
    end = "time.sleep(60)"
    with running("parent", python(f"{SERVE} {CHILD} {end}", port), port, tmp_path) as pid:
        wait_for_cpu(pid, BUSY_S)


def test_the_error_of_a_failed_start_has_the_log(tmp_path):
    with (
        pytest.raises(StartError, match="no such thing"),
        running("broken", python("raise SystemExit('no such thing')", 0), free_port(), tmp_path),
    ):
        pass
