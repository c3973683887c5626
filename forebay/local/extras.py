"""Dependencies that need not be installed: what is said when a command needs one that is not.

Lives here: the check.  Not here: which packages an extra brings (pyproject.toml).
"""

from importlib.util import find_spec

import click


class MissingExtraError(click.ClickException):
    """A command needs packages that only an extra brings; the command line shows it as one line."""

    def __init__(self, command: str, extra: str) -> None:
        super().__init__(f"{command} needs the extra {extra}: pip install 'forebay[{extra}]'")


def require(command: str, extra: str, *modules: str) -> None:
    """Check that top-level modules of an extra are installed, without importing them.

    Raises MissingExtraError when one is not.
    """
    if any(find_spec(module) is None for module in modules):
        raise MissingExtraError(command, extra)
