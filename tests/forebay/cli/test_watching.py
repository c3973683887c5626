from pathlib import Path

from click.testing import CliRunner

from forebay.cli.main import main
from tests.support.ports import free_port


def test_a_gateway_that_is_not_there_is_one_line_that_says_what_to_do(tmp_path: Path):
    address = f"127.0.0.1:{free_port()}"
    (tmp_path / "env").write_text(f"ADMIN=x\nHTTP=http://{address}\n")

    result = CliRunner().invoke(main, ["top", "--data", str(tmp_path)])

    assert 1 == result.exit_code
    assert result.output.startswith(f"Error: http://{address} cannot be reached: ")
    assert result.output.endswith("; forebay doctor says more\n")
