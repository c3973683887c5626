"""The floor: the empty processor in Go, which shows how far from a compiled language's cost Forebay is.

Lives here: building it, once, where there is Go; its source is in bench/go.  Not here: running it (variants).
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.go_module import LEAN, GoModule, has_go

MODULE = GoModule("floor", Path(__file__).resolve().parent / "go", LEAN)
PROGRAM = "floor"


def floor_program(progress: Callable[[str], None]) -> Path | None:
    """Return the program, built if it is not in the user's cache (two minutes); None where there is no way to it."""
    program = MODULE.cache(MODULE.inputs()) / PROGRAM
    if not program.exists() and not has_go():
        progress("no Go: the empty processor in Go is not measured")
        return None
    try:
        if not program.exists():
            MODULE.build(PROGRAM, ".", program.parent)
    except subprocess.CalledProcessError as error:
        progress(f"{' '.join(error.cmd)} failed: the empty processor in Go is not measured")
        return None
    return program
