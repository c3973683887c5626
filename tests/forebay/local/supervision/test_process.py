"""Real processes: their logs, their exit, and dying with their parent."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forebay.local.supervision.process import Process, ProcessSpec, raise_open_file_limit
from tests.support.polling import until
from tests.support.programs import alive, program


async def never() -> bool:
    return False


def a_spec(code: str, log: Path | None = None, **env: str) -> ProcessSpec:
    return ProcessSpec("test", "child", (sys.executable, "-c", code), "", never, env=env, log=log)


async def test_output_and_environment_reach_the_log_and_its_tail(tmp_path: Path):
    spec = a_spec("import os; [print(n, os.environ['WORD']) for n in range(100)]", tmp_path / "log", WORD="hello")

    assert 0 == await Process(spec).wait()
    assert spec.log_tail().endswith("98 hello\n99 hello")
    assert len(spec.log_tail().splitlines()) < 20


async def test_the_status_of_a_killed_process_is_the_signal():
    process = Process(a_spec("import time; time.sleep(60)"))

    process.send_signal(signal.SIGKILL)

    assert -signal.SIGKILL == await process.wait()
    process.send_signal(signal.SIGKILL)  # the process is gone, and no other one gets the signal


async def test_a_cancelled_wait_can_be_repeated():
    process = Process(a_spec("import time; time.sleep(60)"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.wait(), 0.01)

    process.send_signal(signal.SIGTERM)

    assert -signal.SIGTERM == await process.wait()


async def test_child_processes_inherit_a_raised_limit_of_open_files(tmp_path: Path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    spec = a_spec(code, tmp_path / "log")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        raise_open_file_limit()
        await Process(spec).wait()
        assert int(spec.log_tail()) > 256
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_ctrl_c_in_the_terminal_does_not_reach_it():
    process = Process(a_spec("import time; time.sleep(60)"))

    assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
    process.send_signal(signal.SIGKILL)
    await process.wait()


async def test_it_dies_with_its_parent_even_when_that_is_killed():
    async with program("tests.support.parent") as parent:
        child = int((await parent.prints("child ")).split()[1])
        assert alive(child)

        await parent.end(signal.SIGKILL)

        await until(lambda: not alive(child))


def test_too_few_open_files_are_told_in_one_line(tmp_path: Path):
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

    command = [sys.executable, "-m", "forebay", "up", "--data", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, preexec_fn=few)

    said = "Error: ulimit -n = 40, must allow at least 64 open files\n"
    assert (1, "", said) == (ended.returncode, ended.stdout, ended.stderr)
