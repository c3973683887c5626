"""Places of profiles: the old one or the new one, never a part; errors without passwords."""

import json
from pathlib import Path

import pytest

from optimizer.input.reading import InputError
from optimizer.profiling.destinations import UnwrittenError, check, profile_key, redis_target, write
from tests.support.ports import free_port
from tests.support.redis import RedisServer

PAGE = {"gpu": "m-l20", "tputs": [[1.0]]}


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path):
    file = tmp_path / "a.json"
    file.write_text("old")

    assert str(file) == write(str(file), PAGE)
    assert (PAGE, [file]) == (json.loads(file.read_text()), list(tmp_path.iterdir()))


def test_a_value_that_is_no_number_leaves_the_old_file(tmp_path: Path):
    file = tmp_path / "a.json"
    file.write_text("old")

    with pytest.raises(ValueError, match="not JSON compliant"):
        write(str(file), PAGE | {"cost": float("nan")})
    assert ("old", [file]) == (file.read_text(), list(tmp_path.iterdir()))


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path):
    with pytest.raises(UnwrittenError, match="cannot be written: Is a directory"):
        write(str(tmp_path), PAGE)
    assert [] == list(tmp_path.iterdir())
    assert [] == list(tmp_path.parent.glob(f".{tmp_path.name}*"))


def test_redis_holds_a_profile_under_model_and_deployment(tmp_path: Path):
    server, port = RedisServer(tmp_path), free_port()
    try:
        server.start("--port", str(port))
        key = write(f"redis://127.0.0.1:{port}/0?model=m", PAGE)

        assert "aibrix:profile_m_m-l20" == key == profile_key("m", "m-l20")
        assert PAGE == json.loads(server.own_client.get(key))
        assert -1 == server.own_client.ttl(key)
    finally:
        server.kill()


def test_redis_that_is_away_is_an_error_without_the_password():
    port = free_port()

    with pytest.raises(UnwrittenError, match=f"Redis at 127.0.0.1:{port}: ") as caught:
        write(f"redis://user:secret@127.0.0.1:{port}/0?model=m", PAGE)
    assert "secret" not in str(caught.value)


def test_the_model_is_taken_out_of_the_url():
    assert ("redis://u:p@host:1/2", "a/b c") == redis_target("redis://u:p@host:1/2?model=a/b+c")


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("redis://host", "must end with \\?model=NAME"),
        ("redis://host?model=", "must end with \\?model=NAME"),
        ("redis://host?model=a&model=b", "must end with \\?model=NAME"),
        ("redis://?model=m", "has no host"),
        ("redis://host:99999?model=m", "the port of the Redis URL"),
        ("redis://host/x?model=m", "the number of a database"),
        ("redis://host?model=m&x=1", "x: unknown in the Redis URL"),
        ("http://host", "http://...: must be a file, or begin with redis://"),
        ("/nowhere/there/a.json", "its directory is not there"),
    ],
)
def test_a_place_that_is_none_is_an_error_before_anything_is_measured(target: str, named: str):
    with pytest.raises(InputError, match=named):
        check(target)
