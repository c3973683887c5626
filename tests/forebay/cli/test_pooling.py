"""`forebay pools render`: mistakes are told before anything is printed."""

import pytest

from tests.support.command import run


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--name", "Qwen"], "must begin with a letter"),
        (["--data", "llm-model"], "must be CLAIM:/path"),
        (["--pool", "own"], "must be RESOURCE:LABEL=VALUE"),
        (["--min-replicas", "4", "--max-replicas", "3"], "must not be above --max-replicas"),
        (["--min-replicas", "0", "--scale-metric", "DCGM_FI_DEV_GPU_UTIL"], "never leaves 0"),
        (["--scale-target", "0"], "--scale-target"),
        (["--scheduler", "magic"], "--scheduler"),
    ],
)
def test_what_no_cluster_could_take_is_refused(options: list[str], told: str):
    line = ["--engine", "kserve", "--name", "a", "--image", "i", *options, "vllm serve"]

    result = run("pools", "render", *line)

    assert (2, "") == (result.exit_code, result.stdout)
    assert told in result.stderr


def test_a_command_that_no_shell_could_read_is_refused():
    result = run("pools", "render", "--engine", "kserve", "--name", "a", "--image", "i", "vllm serve 'a")

    assert (2, "") == (result.exit_code, result.stdout)
    assert "No closing quotation" in result.stderr
