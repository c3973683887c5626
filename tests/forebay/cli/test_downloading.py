"""`forebay download`, also as `aibrix_download`: as an initContainer starts it; killed at half; on a full disk."""

import json
import os
import pty
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from runtime.downloads.folders import Place, Status
from tests.support.command import run
from tests.support.stores.bringing import PART, SMALL, content, downloads, held, visible
from tests.support.stores.file_server import Site, file_server
from tests.support.stores.hub import add_model
from tests.support.waiting import until

COMMAND = (Path(sys.executable).with_name("aibrix_download"), "--model-uri")
FILES = {"config.json": b"{}", "README.md": b"words", "model.safetensors": content(1, 40 * PART)}
SIZE = sum(map(len, FILES.values()))
ON_SMALL_DISK = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-euc")


@pytest.fixture
def hub() -> Iterator[Site]:
    with file_server(Site()) as served:
        add_model(served, "org/m", FILES)
        yield served


@pytest.fixture
def environment(hub: Site, tmp_path: Path) -> dict[str, str]:
    """As the samples' initContainers have it."""
    return {
        **os.environ, **SMALL, "HF_ENDPOINT": hub.url, "DOWNLOADER_ALLOW_FILE_SUFFIX": "json, safetensors",
        "HF_HOME": str(tmp_path / "home"),
    }  # fmt: skip


def counted(journal: Path) -> int:
    """Bytes that a journal counts, without its last counter."""
    counters = journal.read_bytes().partition(b"\n")[2]
    return sum(struct.unpack(f"<{len(counters) // 8}Q", counters)[:-1])


def test_a_model_is_downloaded_and_its_path_printed(hub: Site, environment: dict[str, str], tmp_path: Path):
    command = [*COMMAND, "huggingface://org/m", "--local-dir", f"{tmp_path}/models/", "--enable-progress-bar"]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (0, f"{tmp_path}/models/m\n", "") == (done.returncode, done.stdout, done.stderr)
    assert {"config.json", "model.safetensors"} == held(tmp_path / "models" / "m").keys()


def test_on_a_terminal_there_is_a_progress_bar(environment: dict[str, str], tmp_path: Path):
    ours, theirs = pty.openpty()
    command = [*COMMAND, "org/m", "--local-dir", tmp_path / "models", "--enable-progress-bar"]

    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=theirs, check=True)

    os.close(theirs)
    assert b"100%" in os.read(ours, 1 << 16)
    os.close(ours)


def test_killed_at_half_it_goes_on_and_fetches_only_the_rest(hub: Site, environment: dict[str, str], tmp_path: Path):
    folder = tmp_path / "models"
    command = [*COMMAND, "hf://org/m", "--local-dir", folder]
    hub.hold_after = SIZE // 2
    first = subprocess.Popen(command, env=environment)
    until(lambda: hub.total >= SIZE // 2, limit_s=60)
    [*_, journal] = sorted((folder / ".downloads" / "m" / "journals").iterdir(), key=lambda path: path.stat().st_size)
    until(lambda: counted(journal) >= SIZE // 4, limit_s=60)
    place = Place(folder, "m")
    assert Status.DOWNLOADING == place.status()

    first.send_signal(signal.SIGKILL)
    first.wait()

    assert ([], Status.NO_OPERATION) == (visible(folder), place.status())
    assert [False] == [artifact.is_complete for artifact in downloads().found(folder)]
    kept = counted(journal)
    hub.released.set()
    until(lambda: _is_quiet(hub))
    hub.sent.clear()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)

    assert held(folder / "m") == {name: FILES[name] for name in ("config.json", "model.safetensors")}
    assert len(FILES["model.safetensors"]) - kept == hub.sent["/large/org/m/model.safetensors"]
    assert kept >= SIZE // 4


def _is_quiet(hub: Site) -> bool:
    """Whether nothing more is sent: no request is open, or its client is gone."""
    before = hub.total
    time.sleep(0.2)
    return before == hub.total


def test_interrupted_it_ends_in_a_line(hub: Site, environment: dict[str, str], tmp_path: Path):
    hub.hold_after = SIZE // 4
    command = [*COMMAND, "hf://org/m", "--local-dir", tmp_path / "models"]
    first = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    until(lambda: hub.total >= SIZE // 4, limit_s=60)

    first.send_signal(signal.SIGINT)
    hub.released.set()
    _, said = first.communicate(timeout=60)

    assert (130, "forebay: interrupted, run it again to go on\n") == (first.returncode, said)
    assert [] == visible(tmp_path / "models")


@pytest.mark.skipif(
    subprocess.run([*ON_SMALL_DISK, "mount -t tmpfs none /mnt"], capture_output=True, check=False).returncode != 0,
    reason="needs a small disk: unshare (util-linux) with user namespaces",
)
@pytest.mark.parametrize("is_announced", [True, False])
def test_a_full_disk_is_told_and_nothing_is_installed(
    *, is_announced: bool, hub: Site, environment: dict[str, str], tmp_path: Path
):
    folder = tmp_path / "models"
    folder.mkdir()
    uri = f"{hub.url}/large/org/m/model.safetensors"
    if not is_announced:  # a server that says no size, so that only the disk itself can tell
        hub.has_ranges = False
        hub.headers["/large/org/m/model.safetensors"] = {"content-length": "", "connection": "close"}
    script = 'mount -t tmpfs -o size=1m none "$1"; shift; "$@" || { status=$?; ls "$0"; exit $status; }'
    command = [*ON_SMALL_DISK, script, folder, folder, *COMMAND, uri, "--local-dir", folder]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    said = "needs 2 MiB more, 1 MiB are free" if is_announced else "the disk is full"
    assert (1, "") == (done.returncode, done.stdout)
    assert said in done.stderr
    assert 1 == len(done.stderr.splitlines())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model-uri", "ftp://x/y"), "Error: 'ftp://x/y' is of no known source"),
        (("--model-uri", "/none"), "Error: /none: there is no such file or folder"),
        (("--model-uri", "hf://o/m", "--model-name", "../m"), "Error: name = '../m', must match"),
        (("--model-uri", "hf://o/m", "--download-extra-config", "{"), "must be JSON"),
        (("--model-uri", "hf://o/m", "--download-extra-config", "[]"), "must be a JSON object"),
        (("--model-uri", "hf://o/m", "--download-extra-config", '{"retries": -1}'), "DOWNLOADER_RETRIES = -1, must be"),
    ],
)
def test_bad_input_is_told_in_a_line(arguments: tuple[str, ...], said: str, tmp_path: Path):
    result = run("download", *arguments, "--local-dir", str(tmp_path))

    assert result.exit_code in (1, 2)
    assert said in result.output
    assert [] == visible(tmp_path)


def test_options_in_json_go_before_the_environment(hub: Site, tmp_path: Path):
    options = {"hf_endpoint": hub.url, "allow_file_suffix": ["json"], "num_threads": 1}

    result = run(
        "download", "--model-uri", "hf://org/m", "--local-dir", str(tmp_path), "--model-name", "named",
        "--download-extra-config", json.dumps(options),
    )  # fmt: skip

    assert (0, f"{tmp_path}/named\n") == (result.exit_code, result.output)
    assert ["config.json"] == list(held(tmp_path / "named"))


def test_the_version_says_whose_command_it_is():
    said = subprocess.run([COMMAND[0], "--version"], capture_output=True, text=True, check=True).stdout

    assert f"aibrix_download of Forebay, version {metadata.version('forebay')}\n" == said
