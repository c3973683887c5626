"""Profiles that come with Forebay, by the names of GPUs; gpus/README.md says how they were made and what they cost.

Lives here: finding them.  Not here: reading their fields (profiles.profile).
"""

from collections.abc import Sequence
from importlib.resources import files

from optimizer.input.reading import InputError

FOLDER = "gpus"
SUFFIX = ".json"


def names() -> Sequence[str]:
    """Return the names of all bundled profiles."""
    entries = (files(__package__) / FOLDER).iterdir()
    return sorted(entry.name.removesuffix(SUFFIX) for entry in entries if entry.name.endswith(SUFFIX))


def bundled(name: str) -> bytes:
    """Return the JSON of a bundled profile.  Raises InputError with the names that there are."""
    if name not in names():
        raise InputError([f"{name}: is neither a file nor a bundled profile: {', '.join(names())}"])
    return (files(__package__) / FOLDER / f"{name}{SUFFIX}").read_bytes()
