import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from forebay.cli.completing import SHELLS
from forebay.cli.main import main


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_a_script_that_asks_forebay(shell: str):
    result = CliRunner().invoke(main, ["completion", shell])

    assert 0 == result.exit_code
    assert f"_FOREBAY_COMPLETE={shell}_complete" in result.output


def test_the_script_is_answered_with_commands():
    asked = {"_FOREBAY_COMPLETE": "bash_complete", "COMP_WORDS": "forebay doc", "COMP_CWORD": "1"}
    program = "from forebay.cli.main import main; main(prog_name='forebay')"
    answer = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )

    assert ["plain,doctor"] == answer.stdout.split()
