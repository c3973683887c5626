"""Configuration files for tests, written where the test says."""

from pathlib import Path
from textwrap import dedent

import pytest

from gateway.config.loading import ConfigurationError, load
from gateway.config.settings import Settings

STRATEGIES = ("forebay", "least-request", "random")


def written(folder: Path, text: str, name: str = "forebay.yaml") -> Path:
    """A file with this text, dedented."""
    path = folder / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


def loaded(folder: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    """Return the settings that `load` makes of the text."""
    return load(written(folder, text), environ or {}, STRATEGIES)


def problems_of(folder: Path, text: str, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    """Return the problems that `load` finds in the text."""
    with pytest.raises(ConfigurationError) as caught:
        loaded(folder, text, environ)
    return caught.value.problems
