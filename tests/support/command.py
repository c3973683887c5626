"""The command `forebay` in this process."""

from click.testing import CliRunner, Result

from forebay.cli.main import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)
