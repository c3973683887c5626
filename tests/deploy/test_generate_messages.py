"""The build hook writes typed modules for .proto files and fails on a broken one."""

from pathlib import Path

import pytest

from deploy.generate_messages import compile_protos

GREETING = (
    'syntax = "proto3"; import "google/protobuf/struct.proto"; message Greeting { google.protobuf.Struct fields = 1; }'
)


def a_root(path: Path, **protos: str) -> Path:
    (path / "proto").mkdir()
    for name, text in protos.items():
        (path / "proto" / f"{name}.proto").write_text(text)
    return path


def test_each_proto_becomes_a_module_with_types_in_the_package(tmp_path: Path):
    compile_protos(a_root(tmp_path, greeting=GREETING))

    assert {"greeting_pb2.py", "greeting_pb2.pyi"} == {path.name for path in (tmp_path / "gateway/pb").iterdir()}


def test_messages_that_refer_to_each_other_are_imported_from_the_package(tmp_path: Path):
    letter = 'syntax = "proto3"; import "gateway/pb/greeting.proto"; message Letter { Greeting greeting = 1; }'
    compile_protos(a_root(tmp_path, greeting=GREETING, letter=letter))

    assert "from gateway.pb import greeting_pb2" in (tmp_path / "gateway/pb/letter_pb2.py").read_text()


def test_without_protos_nothing_is_written(tmp_path: Path):
    compile_protos(a_root(tmp_path))

    assert not (tmp_path / "gateway").exists()


def test_a_broken_proto_stops_the_build(tmp_path: Path):
    with pytest.raises(RuntimeError, match=r"broken\.proto"):
        compile_protos(a_root(tmp_path, broken="message {"))
