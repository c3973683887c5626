"""The build hook's compiler: typed modules from .proto files, nothing from nothing, an error from nonsense."""

from pathlib import Path

import pytest

from proto.build import compile_protos

GREETING = (
    'syntax = "proto3"; import "google/protobuf/struct.proto"; message Greeting { google.protobuf.Struct fields = 1; }'
)


def a_root(path: Path, **protos: str) -> Path:
    (path / "proto").mkdir()
    for name, text in protos.items():
        (path / "proto" / f"{name}.proto").write_text(text)
    return path


def test_writes_a_module_and_its_types_beside_each_proto(tmp_path: Path):
    compile_protos(a_root(tmp_path, greeting=GREETING))

    assert {"greeting.proto", "greeting_pb2.py", "greeting_pb2.pyi"} == {
        path.name for path in (tmp_path / "proto").iterdir()
    }


def test_no_protos_are_no_error(tmp_path: Path):
    compile_protos(a_root(tmp_path))

    assert [] == list((tmp_path / "proto").iterdir())


def test_a_broken_proto_stops_the_build(tmp_path: Path):
    with pytest.raises(RuntimeError, match=r"broken\.proto"):
        compile_protos(a_root(tmp_path, broken="message {"))
