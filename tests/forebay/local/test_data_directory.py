"""The directory of `forebay up`."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forebay.local.data_directory import DataError, data_directory, make_private
from forebay.local.records import write_atomically


@pytest.fixture
def _same_umask() -> Iterator[None]:
    umask = os.umask(0)
    yield
    os.umask(umask)


@pytest.mark.parametrize(("before", "after"), [(None, 0o700), (0o755, 0o700), (0o2775, 0o700), (0o1777, 0o1777)])
@pytest.mark.usefixtures("_same_umask")
def test_a_directory_and_its_files_are_their_owners_alone_but_a_shared_one_stays_shared(
    tmp_path: Path, before: int | None, after: int
):
    directory = tmp_path / "data"
    if before is not None:
        directory.mkdir()
        directory.chmod(before)

    make_private(directory)
    (directory / "file").write_text("secret")
    write_atomically(directory / "env", b"secret")

    assert after == directory.stat().st_mode & 0o1777
    assert {0o600} == {path.stat().st_mode & 0o777 for path in directory.iterdir()}


def test_it_is_made_and_cleared_of_the_last_run(tmp_path: Path):
    data = tmp_path / "a" / "b"
    for _ in range(2):
        with data_directory(data) as directory:
            assert data == directory
            assert {"lock", "logs"} == {path.name for path in directory.iterdir()}
            for name in ("env", "run.json", "logs/old.log"):
                (directory / name).touch()


def test_a_second_run_is_refused_and_told_who_has_it(tmp_path: Path):
    with data_directory(tmp_path), pytest.raises(DataError) as raised, data_directory(tmp_path):
        pass

    assert f"--data = {tmp_path}, forebay up already runs with it (pid {os.getpid()})" in raised.value.message


@pytest.mark.parametrize("data", ["file", "file/below", "/proc/forebay", "/dev/null"])
def test_where_nothing_can_be_written_one_line_says_so(tmp_path: Path, data: str):
    (tmp_path / "file").touch()

    with pytest.raises(DataError) as raised, data_directory(tmp_path / data):
        pass

    assert raised.value.message.startswith(f"--data = {tmp_path / data}, cannot be written: ")
    assert "\n" not in raised.value.message


def test_a_write_that_fails_in_the_block_says_so_and_other_errors_stay_what_they_are(tmp_path: Path):
    for error in (OSError(errno.ENOSPC, "No space left on device"), PermissionError(13, "no", str(tmp_path / "env"))):
        with pytest.raises(DataError, match=f"--data = {tmp_path}, cannot be written"), data_directory(tmp_path):
            raise error
    with pytest.raises(ConnectionRefusedError), data_directory(tmp_path):
        raise ConnectionRefusedError


def test_forebay_up_ends_with_one_line_and_status_1(tmp_path: Path):
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "forebay", "up", "--data", str(tmp_path / "file")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    said = f"Error: --data = {tmp_path / 'file'}, cannot be written: it is not a directory\n"
    assert (1, "", said) == (ended.returncode, ended.stdout, ended.stderr)


def test_forebay_up_on_a_full_disk_ends_with_one_line_and_status_1(tmp_path: Path):
    def full() -> None:  # a file may have no byte, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    command = [sys.executable, "-m", "forebay", "up", "--data", str(tmp_path / "new")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, preexec_fn=full)

    said = f"Error: --data = {tmp_path / 'new'}, cannot be written: file too large\n"
    assert (1, "", said) == (ended.returncode, ended.stdout, ended.stderr)
