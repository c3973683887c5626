"""Each test configures logging in a process of its own: it is global, and pytest has plans with it too."""

import json
import os
import pty
import subprocess
import sys
from typing import Any

PRELUDE = "import logging, structlog\nfrom gateway.observability.logs import set_up\nlog = structlog.get_logger()\n"


def run(code: str, stderr: int = subprocess.PIPE) -> str:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PRELUDE + code]
    return subprocess.run(command, env=environ, stderr=stderr, text=True, check=True).stderr


def logged(code: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(code).splitlines()]


def test_a_record_is_one_json_line_with_event_fields_level_and_time():
    (line,) = logged("set_up('info'); log.warning('pod lost', pod='a', after_s=1.5, lines='a\\nb')")

    assert ("pod lost", "a", 1.5, "a\nb", "warning") == tuple(
        line[key] for key in ("event", "pod", "after_s", "lines", "level")
    )
    assert line["timestamp"].endswith("Z")


def test_records_below_the_level_are_not_written():
    code = "set_up('warning'); log.info('a'); log.error('b'); "
    code += "logging.getLogger('redis').info('c'); logging.getLogger('redis').error('d')"

    assert ["b", "d"] == [line["event"] for line in logged(code)]


def test_the_standard_library_is_routed_through_with_its_logger_named():
    (line,) = logged("set_up('info'); logging.getLogger('uvicorn.error').info('started on %s', 'here')")

    assert ("started on here", "uvicorn.error", "info") == (line["event"], line["logger"], line["level"])


def test_libraries_write_no_line_per_request():
    names = ("uvicorn.access", "httpx", "httpx2")  # the last is the Kubernetes client's
    code = f"set_up('info'); [logging.getLogger(name).info('GET /') for name in {names}]"

    assert [] == logged(code)


def test_an_exception_comes_with_its_traceback_on_the_same_line():
    code = "set_up('info')\ntry: 1 / 0\nexcept ZeroDivisionError: log.exception('failed', where='here')"

    (line,) = logged(code)

    assert "ZeroDivisionError" in line["exception"]
    assert ("failed", "here") == (line["event"], line["where"])


def test_prompts_and_keys_are_blanked_out():
    secret = "authorization='Bearer x', prompt='x', messages=['x'], url='redis://:x@host:1/0'"

    (line,) = logged(f"set_up('info'); log.info('e', user='lgy', {secret})")

    assert ("***", "***", "***") == (line["authorization"], line["prompt"], line["messages"])
    assert ("redis://***@host:1/0", "lgy") == (line["url"], line["user"])


def test_values_without_a_json_type_are_written_as_text():
    (line,) = logged("from pathlib import Path; set_up('info'); log.info('e', path=Path('/a'), keys={1: 2})")

    assert ("/a", {"1": 2}) == (line["path"], line["keys"])


def test_a_person_at_a_terminal_gets_readable_lines():
    ours, theirs = pty.openpty()
    run("set_up('info'); log.info('started', workers=2)", stderr=theirs)
    os.close(theirs)

    with os.fdopen(ours, "rb") as terminal:
        text = terminal.read1().decode()

    assert "started" in text
    assert not text.startswith("{")
