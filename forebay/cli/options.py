"""Types of options that several commands share."""

from pathlib import Path

import click

A_FILE = click.Path(path_type=Path, dir_okay=False)
"""The path of a file; whether it exists is found when it is opened."""
