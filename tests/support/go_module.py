"""Go modules whose programs tests need: built once, and kept in the cache for their sources, flags and Go.

The cache is in the home of the user: `$FOREBAY_CACHE`, else `$XDG_CACHE_HOME/forebay`, else `~/.cache/forebay`.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LEAN = ("-trimpath", "-gcflags=all=-dwarf=false")
"""Flags without debugging information, which takes a third of the compiler's time."""


def has_go() -> bool:
    """Tell whether there is a Go."""
    return bool(shutil.which("go"))


@dataclass(frozen=True)
class GoModule:
    """A module in this repository."""

    name: str
    """The folder of the cache, and the word before each line that is told."""
    folder: Path
    flags: tuple[str, ...]
    """Flags of `go build`."""

    def say(self, line: str) -> None:
        """Print on standard error, so that standard output has only what the program answers."""
        sys.stderr.write(f"[{self.name}] {line}\n")

    def go(self, *arguments: str) -> str:
        """Return what a go command prints in the module.  Raises CalledProcessError."""
        environment = os.environ | {"CGO_ENABLED": "0"}
        run = subprocess.run(
            ["go", *arguments], cwd=self.folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return run.stdout

    def inputs(self) -> Iterator[bytes]:
        """Yield all that the module's programs depend on."""
        if has_go():
            yield self.go("env", "GOVERSION", "GOOS", "GOARCH").encode()
        yield "\0".join(self.flags).encode()
        for path in sorted(path for path in self.folder.rglob("*") if path.is_file()):
            yield path.relative_to(self.folder).as_posix().encode()
            yield path.read_bytes()

    def cache(self, inputs: Iterable[bytes]) -> Path:
        """Return the directory for programs of these inputs."""
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        root = Path(os.environ.get("FOREBAY_CACHE") or Path(base) / "forebay")
        directory = root / self.name / hashlib.sha256(b"\0".join(inputs)).hexdigest()[:16]
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def build(self, program: str, package: str, directory: Path) -> None:
        """Build a program; it is there when it is whole.  Raises CalledProcessError."""
        self.say(f"building {program}, once")
        began_s = time.monotonic()
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            self.go("build", *self.flags, "-o", f"{scratch}/{program}", package)
            (Path(scratch) / program).replace(directory / program)
        self.say(f"built {program} in {time.monotonic() - began_s:.0f} s")
