"""Option types that several commands share."""

from pathlib import Path

import click

FILE_PATH = click.Path(path_type=Path, dir_okay=False)
"""The path of a file; a missing one is an error only when it is opened."""
DIRECTORY_PATH = click.Path(path_type=Path, file_okay=False)
"""The path of a directory, which need not exist."""
