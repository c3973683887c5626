"""`forebay scale-decide`: one line in, one line out at once, and bad input named."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.pod_autoscalers import a_pod_autoscaler, s1


def a_spec(folder: Path, document: object) -> str:
    file = folder / "scaler.yaml"
    file.write_text(yaml.safe_dump(document))
    return str(file)


def scale_decide(spec: str, text: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "forebay", "scale-decide", "--spec", spec]
    return subprocess.run(command, check=False, input=text, capture_output=True, text=True)


def test_each_line_is_answered_before_the_next_one_is_read(tmp_path: Path):
    command = [sys.executable, "-m", "forebay", "scale-decide", "--spec", a_spec(tmp_path, a_pod_autoscaler())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        answers = []
        for now_s in (0, 2):
            process.stdin.write(json.dumps({"now_s": now_s, "ready": 1, "pods": [{"name": "a", "running": 15}]}) + "\n")
            process.stdin.flush()
            answers.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        assert 0 == process.wait(timeout=30)

    assert [(2, 2.0), (2, 4.0)] == [(answer["desired"], answer["next_s"]) for answer in answers]
    assert "running 15 over 60 s" in answers[0]["reason"]


def test_notes_of_the_object_are_told_on_standard_error(tmp_path: Path):
    result = scale_decide(a_spec(tmp_path, s1()), "")

    assert (0, "") == (result.returncode, result.stdout) and "read as percent of a replica" in result.stderr


def test_a_missing_value_keeps_what_there_is_and_says_so(tmp_path: Path):
    result = scale_decide(a_spec(tmp_path, a_pod_autoscaler()), '{"now_s": 0, "ready": 3}\n')

    answer = json.loads(result.stdout)
    assert (3, "no value of running") == (answer["desired"], answer["missing"])


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ('{"now_s": 0, "ready": 1, "redy": 1}', "redy"),
        ('{"ready": 1}', "now_s"),
        ('{"now_s": 0, "ready": -1}', "ready"),
        ('{"now_s": 0, "ready": 1, "pods": [{"name": "a", "kv_usage": "x"}]}', "kv_usage"),
        ("nonsense", "line 2"),
        ("", "line 2"),
        ('{"now_s": -1, "ready": 1}', "now_s = -1"),
    ],
)
def test_a_bad_line_is_named_and_ends_the_command(tmp_path: Path, line: str, part: str):
    result = scale_decide(a_spec(tmp_path, a_pod_autoscaler()), f'{{"now_s": 0, "ready": 1}}\n{line}\n')

    (problem,) = result.stderr.splitlines()
    assert (2, 1) == (result.returncode, len(result.stdout.splitlines()))
    assert problem.startswith("forebay: line 2: ") and part in problem


def test_every_problem_of_an_object_is_a_line(tmp_path: Path):
    result = scale_decide(a_spec(tmp_path, a_pod_autoscaler("XPA", target="0")), "")

    assert (2, "") == (result.returncode, result.stdout)
    assert ["spec.scalingStrategy", "spec.metricsSources[0].targetValue"] == [
        line.split(": ")[2].split(" = ")[0] for line in result.stderr.splitlines()
    ]


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "a: 2026-13-45"])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, text: str):
    file = tmp_path / "x.yaml"
    file.write_text(text)

    result = scale_decide(str(file), "")

    assert (2, "") == (result.returncode, result.stdout) and result.stderr.startswith(f"forebay: {file}: ")
