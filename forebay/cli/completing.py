"""The command `completion`: completion of commands and options by the shell.

Lives here: printing click's script for a shell.  Not here: what is completed, which click reads from the commands.
"""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_FOREBAY_COMPLETE"
"""The variable by which click's script asks the program."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes a shell complete `forebay`.

    For bash: eval "$(forebay completion bash)" in ~/.bashrc; for zsh likewise; for fish: forebay completion fish >
    ~/.config/fish/completions/forebay.fish.
    """
    found = get_completion_class(shell)
    if found is None:  # click knows all of SHELLS
        raise click.ClickException(f"{shell} is not supported")
    click.echo(found(click.get_current_context().find_root().command, {}, "forebay", _VARIABLE).source())
