"""The files for other programs: DIR/env and DIR/run.json."""

import subprocess
from pathlib import Path

import orjson

from forebay.local.records import shell_assignments, write_atomically, write_processes
from forebay.local.supervision.process import ProcessSpec


async def ready() -> bool:
    return True


def test_a_shell_reads_back_what_was_assigned(tmp_path: Path):
    values = {"GATEWAY": "http://127.0.0.1:10000", "ENGINES": "http://127.0.0.1:1 http://127.0.0.1:2", "EMPTY": ""}
    file = tmp_path / "env"
    file.write_text(shell_assignments(values))

    script = f'. {file}; printf "%s|%s|%s" "$GATEWAY" "$ENGINES" "$EMPTY"'
    answer = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)

    assert list(values.values()) == answer.stdout.split("|")
    assert 'ENGINES="http://127.0.0.1:1 http://127.0.0.1:2"' in file.read_text().splitlines()


def test_every_process_is_listed_with_role_id_and_address(tmp_path: Path):
    spec = ProcessSpec("gateway", "gateway-1", ("x",), "127.0.0.1:50052", ready)

    write_processes(tmp_path / "run.json", [(spec, 123)])

    [record] = orjson.loads((tmp_path / "run.json").read_bytes())
    assert {"role": "gateway", "name": "gateway-1", "pid": 123, "address": "127.0.0.1:50052"} == record


def test_replacing_leaves_one_file_with_the_new_content(tmp_path: Path):
    for content in (b"old and long", b"new"):
        write_atomically(tmp_path / "file", content)

    assert [(tmp_path / "file", b"new")] == [(file, file.read_bytes()) for file in tmp_path.iterdir()]
