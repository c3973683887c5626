"""Compiles the request path of an installed Forebay to machine code: `python deploy/compile.py DIRECTORY`.

DIRECTORY has the packages, as `pip install --target DIRECTORY` installs them.  Extension modules are written beside the
sources, and Python imports those first.  Needs a C compiler, Python's headers and requirements-compile.lock.
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
    "routing/**/*.py", "traffic/counts.py", "traffic/window.py",
)  # fmt: skip
"""Modules that run for every request, and neighbours and subclasses of theirs, which must compile with them."""
LEFT_OUT = frozenset({"gateway/openai/errors.py"})
"""Modules whose classes have class attributes and inherit from interpreted classes, which mypyc does not support."""


def modules(root: Path) -> list[str]:
    """Return the paths of the modules to compile, relative to `root`."""
    found = {path.relative_to(root).as_posix() for pattern in REQUEST_PATH for path in root.glob(pattern)}
    return sorted(path for path in found - LEFT_OUT if not path.endswith("__init__.py"))


def compile_in(root: Path) -> None:
    """Write an extension module beside each of `modules`.  Raises SystemExit when one does not compile."""
    os.chdir(root)  # mypy and setuptools derive module names from relative paths
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
