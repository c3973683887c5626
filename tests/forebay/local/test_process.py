"""Real processes: their logs, their ends, their leash."""

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from forebay.local.process import Part, Process, allow_many_files
from tests.support.polling import until
from tests.support.programs import alive, program


async def never() -> bool:
    return False


def a_part(code: str, log: Path | None = None, **env: str) -> Part:
    return Part("test", "part", (sys.executable, "-c", code), "", never, env=env, log=log)


async def test_output_and_environment_reach_the_log_and_its_tail(tmp_path: Path):
    part = a_part("import os; [print(n, os.environ['WORD']) for n in range(100)]", tmp_path / "log", WORD="hello")

    assert 0 == await Process(part).exited()
    assert part.log_tail().endswith("98 hello\n99 hello")
    assert len(part.log_tail().splitlines()) < 20


async def test_the_status_of_a_killed_process_is_the_signal():
    process = Process(a_part("import time; time.sleep(60)"))

    process.send(signal.SIGKILL)

    assert -signal.SIGKILL == await process.exited()
    process.send(signal.SIGKILL)  # nobody there any more, and nobody else hit


async def test_waiting_can_be_given_up_and_begun_again():
    process = Process(a_part("import time; time.sleep(60)"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.exited(), 0.01)

    process.send(signal.SIGTERM)

    assert -signal.SIGTERM == await process.exited()


async def test_a_low_limit_of_open_files_is_raised_for_what_is_started(tmp_path: Path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    part = a_part(code, tmp_path / "log")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        allow_many_files()
        await Process(part).exited()
        assert int(part.log_tail()) > 256
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_ctrl_c_in_the_terminal_does_not_reach_it():
    process = Process(a_part("import time; time.sleep(60)"))

    assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
    process.send(signal.SIGKILL)
    await process.exited()


async def test_it_dies_with_its_parent_even_when_that_is_killed():
    async with program("tests.support.parent") as parent:
        child = int((await parent.prints("child ")).split()[1])
        assert alive(child)

        await parent.end(signal.SIGKILL)

        await until(lambda: not alive(child))
