"""Builds the program that decides by Knative's and Kubernetes' code, and prints its path.

`python tests/autoscaling/originals/build.py`.  Needs Go and the proxy of its modules; some 4 minutes of a processor the
first time, which are not asked for where a program of these sources is in the user's cache.
"""

import subprocess
import sys
from pathlib import Path

from tests.support.go_module import LEAN, GoModule, has_go

# Without checks of links, because virtual time is the standard library's own (limits.go).
MODULE = GoModule(
    "originals", Path(__file__).resolve().parent / "module", (*LEAN, "-ldflags", "-s -w -checklinkname=0")
)
PROGRAM = "originals"


def main() -> None:
    """Print the path of the program, built if it is not there."""
    directory = MODULE.cache(MODULE.inputs())
    if not (directory / PROGRAM).exists():
        if not has_go():
            sys.exit("make: needs Go, to build Knative's autoscaler and Kubernetes' replica calculator")
        try:
            MODULE.build(PROGRAM, ".", directory)
        except subprocess.CalledProcessError as error:
            sys.exit(f"make: {' '.join(error.cmd)} failed with status {error.returncode}")
    sys.stdout.write(f"{directory / PROGRAM}\n")


if __name__ == "__main__":
    main()
