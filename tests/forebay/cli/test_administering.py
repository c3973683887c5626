import pytest
from click.testing import CliRunner

from forebay.cli.main import main
from tests.support.ports import free_port


@pytest.mark.parametrize("words", ["users list", "users create u rpm=1", "keys list u", "limits show u"])
def test_a_gateway_that_is_not_there_is_one_line(words: str):
    group, *others = words.split()
    url = f"http://127.0.0.1:{free_port()}"
    result = CliRunner().invoke(main, [group, "--admin", url, *others])

    assert 1 == result.exit_code
    assert result.output.startswith(f"Error: {url} cannot be reached: ")
    assert 1 == result.output.count("\n")


def test_words_that_are_no_fields_are_named():
    result = CliRunner().invoke(main, ["users", "create", "u", "rpm"])

    assert 2 == result.exit_code
    assert "'rpm' must be FIELD=VALUE" in result.output
