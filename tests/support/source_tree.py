"""The repository as the architecture tests see it: which files there are and what they are called.

Lives here: paths and names.  Not here: rules (tests/architecture).
"""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "autoscaling", "console", "controllers", "forebay", "gateway", "kube", "optimizer", "ratelimit", "routing",
    "runtime", "simulator", "traffic",
)  # fmt: skip
"""The packages that are installed; a new top-level package is added here and to import-linter's root_packages."""


@cache
def tracked_files() -> tuple[Path, ...]:
    """Files under version control or about to be, relative to ROOT."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(sorted(Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()))


def python_files() -> tuple[Path, ...]:
    """Every Python file: sources, tests and benchmarks; generated ones are not tracked."""
    return tuple(path for path in tracked_files() if path.suffix == ".py")


def source_files() -> tuple[Path, ...]:
    """The Python files of PACKAGES."""
    return tuple(path for path in python_files() if path.parts[0] in PACKAGES)


@cache
def read(path: Path) -> str:
    """The text of a file named relative to ROOT."""
    return (ROOT / path).read_text(encoding="utf-8")
