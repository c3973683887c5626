"""Compiles proto/*.proto into gateway/pb/: as `python deploy/generate_messages.py` and as hatchling's build hook.

The generated modules (`gateway.pb.ext_proc_pb2`) are not kept in version control.  The .proto files import each other
as `gateway/pb/NAME.proto`: protoc derives the names of Python modules from these paths.
"""

from pathlib import Path
from typing import Any

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "gateway/pb"


def compile_protos(root: Path = ROOT) -> None:
    """Write `*_pb2.py` and `*_pb2.pyi` into gateway/pb for each .proto file under `root`/proto.

    Raises RuntimeError when one does not compile.
    """
    sources = sorted(f"{PACKAGE}/{path.name}" for path in (root / "proto").glob("*.proto"))
    if not sources:
        return
    (root / PACKAGE).mkdir(parents=True, exist_ok=True)
    includes = [f"-I{PACKAGE}={root / 'proto'}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
    if protoc.main(["protoc", *includes, f"--python_out={root}", f"--pyi_out={root}", *sources]) != 0:
        raise RuntimeError(f"protoc failed on {', '.join(sources)}")


class ProtoBuildHook(BuildHookInterface[Any]):
    """Compiles the .proto files before a wheel or an editable install is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Compile them; hatchling calls this once per build."""
        compile_protos()


if __name__ == "__main__":
    compile_protos()
