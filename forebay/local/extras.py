"""Optional dependencies: the error of a command that needs one which is not installed.

Lives here: the check.  Not here: which packages an extra brings (pyproject.toml).
"""

from importlib.util import find_spec

import click


class MissingExtraError(click.ClickException):
    """A command needs packages of an extra that is not installed; click shows the message as one line."""

    def __init__(self, command: str, extra: str) -> None:
        super().__init__(f"{command} needs the extra {extra}: pip install 'forebay[{extra}]'")


def require(command: str, extra: str, *modules: str) -> None:
    """Check that top-level modules of an extra are installed, without importing them.

    Raises MissingExtraError when one is missing.
    """
    if any(find_spec(module) is None for module in modules):
        raise MissingExtraError(command, extra)
