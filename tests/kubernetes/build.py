"""Builds Kubernetes' own programs for tests and prints their directory: `python tests/kubernetes/build.py`.

Each is built once, from the module in tools/, into `$FOREBAY_CACHE`, else `$XDG_CACHE_HOME/forebay`, else
`~/.cache/forebay`, in a directory for these versions, this version of Go and these flags.  Where KUBEBUILDER_ASSETS
names a directory with the programs, as setup-envtest makes it, they are taken from there.  Needs Go; some 5 minutes of
two processors and 2 GB of memory.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

MODULE = Path(__file__).resolve().parent / "tools"
COMMANDS = "k8s.io/kubernetes/cmd"
PROGRAMS = {"etcd": "./etcd"} | {name: f"{COMMANDS}/{name}" for name in ("kube-apiserver", "kube-controller-manager")}
"""Name -> package, in the order of building."""
KUBERNETES = "v1.36.3"
"""The version in go.mod, which the programs do not know by themselves."""

_MAJOR, _MINOR = KUBERNETES[1:].split(".")[:2]
_VERSION = {"gitVersion": KUBERNETES, "gitMajor": _MAJOR, "gitMinor": _MINOR}
_STAMP = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in _VERSION.items())
FLAGS = ("-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", f"-s -w {_STAMP}")
"""Without debugging information, which takes a third of the compiler's time."""


def say(line: str) -> None:
    """Print on standard error, so that standard output has only the directory."""
    sys.stderr.write(f"[kubernetes] {line}\n")


def go(*arguments: str) -> str:
    """Return what a go command prints in the module.  Raises CalledProcessError."""
    command = ["go", *arguments]
    environment = os.environ | {"CGO_ENABLED": "0"}
    return subprocess.run(command, cwd=MODULE, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def inputs() -> Iterator[bytes]:
    """Yield all that the programs depend on."""
    yield go("env", "GOVERSION", "GOOS", "GOARCH").encode()
    yield "\0".join(FLAGS).encode()
    for path in sorted(path for path in MODULE.rglob("*") if path.is_file()):
        yield path.relative_to(MODULE).as_posix().encode()
        yield path.read_bytes()


def cache(of: Iterable[bytes]) -> Path:
    """Return the directory for these inputs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(os.environ.get("FOREBAY_CACHE") or Path(base) / "forebay")
    directory = root / "kubernetes" / hashlib.sha256(b"\0".join(of)).hexdigest()[:16]
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def built() -> Path:
    """Build what is not there yet; return the directory.  A program is there when it is whole."""
    directory = cache(inputs())
    for name, package in PROGRAMS.items():
        if not (directory / name).exists():
            say(f"building {name}, once")
            began_s = time.monotonic()
            with tempfile.TemporaryDirectory(dir=directory) as scratch:
                go("build", *FLAGS, "-o", f"{scratch}/{name}", package)
                (Path(scratch) / name).replace(directory / name)
            say(f"built {name} in {time.monotonic() - began_s:.0f} s")
    return directory


def linked(assets: Path) -> Path:
    """Return a directory with links to the programs in `assets`, where tests keep what they make of them."""
    programs = [assets / name for name in PROGRAMS]
    if missing := [program.name for program in programs if not program.exists()]:
        sys.exit(f"make: KUBEBUILDER_ASSETS={assets} lacks {', '.join(missing)}")
    directory = cache(f"{program} {program.stat().st_mtime_ns}".encode() for program in programs)
    for program in programs:
        with contextlib.suppress(FileExistsError):
            (directory / program.name).symlink_to(program)
    return directory


def main() -> None:
    """Print the directory of the programs."""
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        directory = linked(Path(assets).resolve())
    elif shutil.which("go"):
        try:
            directory = built()
        except subprocess.CalledProcessError as error:
            sys.exit(f"make: {' '.join(error.cmd)} failed with status {error.returncode}")
    else:
        sys.exit("make: needs Go, to build kube-apiserver and what belongs to it, or KUBEBUILDER_ASSETS with them")
    sys.stdout.write(f"{directory}\n")


if __name__ == "__main__":
    main()
