"""The options of `forebay simulate --autoscale`: everything that cannot be meant is one clear error."""

import pytest
from click.testing import CliRunner

from forebay.cli.main import main

RAMP = ["--pattern", "1x5", "--max-running", 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--autoscale", "KPA", "--min", 5, "--max", 2, *RAMP], "--max = 2, must be >= --min, which is 5"),
        (["--autoscale", "MPA", *RAMP], "autoscale = 'MPA', must be NAME"),
        (["--autoscale", "static:none", *RAMP], "must be static:N with N from 1 to 1000"),
        (["--autoscale", "KPA:target=0", *RAMP], "targetValue = 0, must be a number > 0"),
        (
            ["--autoscale", "KPA:metric=gpu_temperature", *RAMP],
            "metric gpu_temperature of source pod",
        ),
        (["--autoscale", "KPA", "--pattern", "fast"], "'fast' must be RATExSECONDS"),
        (["--autoscale", "KPA"], "--autoscale needs --trace, --pattern or --shape"),
        (["--autoscale", "KPA", "--startup-s", "nan", *RAMP], "nan must be a finite number"),
        (["--autoscale", "KPA", "--strategy", "nonsense", *RAMP], "routing strategy = 'nonsense', must be one of"),
        (["--autoscale", "KPA", "--strategy", "random,forebay", *RAMP], "--autoscale takes one --strategy"),
        (["--autoscale", "KPA", "--max-running", 9999, *RAMP[:-2]], "must have pass_tokens > max_running"),
        (["--autoscale", "nowhere.yaml", *RAMP], "No such file"),
        (["--pattern", "1x5"], "--pattern needs --autoscale"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: list[object], message: str):
    result = CliRunner().invoke(main, ["simulate", *map(str, arguments)])

    assert result.exit_code in (1, 2)
    assert message in result.stderr
    assert "Traceback" not in result.stderr
