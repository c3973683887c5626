"""Compiles the request path of an installed Forebay to machine code: `python deploy/compile.py DIRECTORY`.

DIRECTORY holds the packages, as `pip install --target DIRECTORY` lays them.  Extension modules appear beside the
sources, and Python prefers them.  Needs a C compiler, Python's headers and requirements-compile.lock.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from mypyc.build import mypycify
from setuptools import setup

REQUEST_PATH = (
    "gateway/accounting/*.py", "gateway/admission/*.py", "gateway/envoy/names.py", "gateway/extproc/*.py",
    "gateway/fleet/*.py", "gateway/observability/metrics.py", "gateway/openai/*.py", "gateway/serving/framing.py",
    "gateway/serving/ext_proc_stream.py", "gateway/serving/http2/*.py", "ratelimit/**/*.py",
    "routing/**/*.py",
)  # fmt: skip
"""What runs for every request, and what stands beside it or inherits from it and compiles as well."""
LEFT_OUT = frozenset({"gateway/openai/errors.py"})
"""Heirs of classes that are not compiled, with class attributes: mypyc gives those to native classes only."""


def modules(root: Path) -> list[str]:
    """Paths below `root` of what is compiled."""
    found = {path.relative_to(root).as_posix() for pattern in REQUEST_PATH for path in root.glob(pattern)}
    return sorted(path for path in found - LEFT_OUT if not path.endswith("__init__.py"))


def compile_in(root: Path) -> None:
    """Write an extension module beside each of `modules`.  Raises SystemExit when one does not compile."""
    os.chdir(root)  # mypy and setuptools name modules by where they stand
    with TemporaryDirectory() as scratch:
        extensions = mypycify(modules(root), opt_level="3", debug_level="0", multi_file=True, target_dir=scratch)
        setup(
            name="forebay",
            packages=[],
            ext_modules=extensions,
            script_args=["--quiet", "build_ext", "--inplace", "--build-temp", scratch, "--build-lib", scratch],
        )


if __name__ == "__main__":
    compile_in(Path(sys.argv[1]).resolve())
