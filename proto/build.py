"""Compiles the .proto files beside it: `python proto/build.py`, and as hatchling's build hook.

The generated modules stay next to their sources (`proto.ext_proc_pb2`) and are not kept in version control.
"""

from pathlib import Path
from typing import Any

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent


def compile_protos(root: Path = ROOT) -> None:
    """Write `*_pb2.py` and `*_pb2.pyi` beside each .proto file under `root`.  RuntimeError when one is broken."""
    sources = sorted(map(str, (root / "proto").glob("*.proto")))
    if not sources:
        return
    includes = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{root}", f"-I{includes}", f"--python_out={root}", f"--pyi_out={root}", *sources]
    if protoc.main(arguments) != 0:
        raise RuntimeError(f"protoc failed on {', '.join(sources)}")


class ProtoBuildHook(BuildHookInterface[Any]):
    """Compiles before a wheel or an editable install is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Called by hatchling once per build."""
        compile_protos()


if __name__ == "__main__":
    compile_protos()
