"""A second process of any kind on an address that is in use: refused in one line that names who has it."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.ports import free_address, free_pair
from tests.support.waiting import until

FOREBAY = (sys.executable, "-m", "forebay")


def write_config(file: Path, **listen: object) -> Path:
    addresses = {"grpc": free_address(), "http": free_address(), "admin": free_address(), **listen}
    file.write_text(yaml.safe_dump({"listen": addresses, "models": []}))
    return file


@contextlib.contextmanager
def running(ready: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A forebay command that has printed a line that begins with `ready`."""
    with subprocess.Popen([*FOREBAY, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            assert any(line.startswith(ready) for line in process.stdout)
            yield process
        finally:
            process.terminate()
            process.stdout.read()


def refused(*arguments: str) -> str:
    """Run a forebay command that must end with status 1; return the one line that it printed."""
    ended = subprocess.run([*FOREBAY, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert (1, "") == (ended.returncode, ended.stdout)
    [line] = ended.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    file = write_config(tmp_path_factory.mktemp("gateway") / "forebay.yaml")
    with running("ready", "gateway", "--config", str(file), "--workers", "2") as process:
        yield process, file


def test_the_same_gateway_twice(gateway):
    process, file = gateway

    line = refused("gateway", "--config", str(file))

    assert re.fullmatch(rf"Error: listen.grpc = .*, is in use by .*forebay gateway .*\(pid {process.pid}\)", line)


@pytest.mark.parametrize("held", ["grpc", "http", "admin"])
@pytest.mark.parametrize("asked", ["grpc", "http", "admin"])
def test_any_address_of_another_gateway_names_the_setting_and_who_has_it(
    gateway, tmp_path: Path, held: str, asked: str
):
    process, file = gateway
    address = yaml.safe_load(file.read_text())["listen"][held]

    line = refused("gateway", "--config", str(write_config(tmp_path / "second.yaml", **{asked: address})))

    assert line.startswith(f"Error: listen.{asked} = {address}, is in use by ")
    assert f"(pid {process.pid})" in line


def test_a_worker_address_and_one_on_all_interfaces(gateway, tmp_path: Path):
    process, file = gateway
    port = yaml.safe_load(file.read_text())["listen"]["http"].rpartition(":")[2]
    for listen in ({"http": f"0.0.0.0:{port}"}, {"http": f"[::]:{port}"}, {"workers": [f"127.0.0.1:{port}"]}):
        line = refused("gateway", "--config", str(write_config(tmp_path / "second.yaml", **listen)))
        assert "is in use by" in line
        assert f"(pid {process.pid})" in line


def test_an_engine_on_the_port_of_a_gateway_and_a_gateway_and_engines_on_that_of_an_engine(gateway, tmp_path: Path):
    process, file = gateway
    address = yaml.safe_load(file.read_text())["listen"]["grpc"]
    line = refused("engine", "--model", "m", "--port", address.rpartition(":")[2])
    assert f"Error: --port = {address}, is in use by " in line
    assert f"(pid {process.pid})" in line

    port = free_pair()
    with running("engine m", "engine", "--model", "m", "--port", str(port)) as engine:
        config = write_config(tmp_path / "second.yaml", admin=f"127.0.0.1:{port}")
        for arguments in (
            ("gateway", "--config", str(config)),
            ("engine", "--model", "m", "--port", str(port)),
            ("engine", "--model", "m", "--port", str(port - 1), "--count", "2"),
            ("engine", "--model", "m", "--port", str(port), "--host", "0.0.0.0"),
        ):
            line = refused(*arguments)
            assert f":{port}, is in use by " in line
            assert f"(pid {engine.pid})" in line


@pytest.mark.parametrize("setting", ["envoy.listen", "envoy.admin", "listen.grpc", "listen.http", "listen.admin"])
def test_forebay_up_on_an_address_that_its_configuration_names(gateway, tmp_path: Path, setting: str):
    process, file = gateway
    address = yaml.safe_load(file.read_text())["listen"]["http"]
    section, key = setting.split(".")
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({section: {key: address}}))

    line = refused("up", "--config", str(tmp_path / "base.yaml"), "--data", str(tmp_path / "data"))

    assert line.startswith(f"Error: {setting} = {address}, is in use by ")
    assert f"(pid {process.pid})" in line


def test_a_gateway_starts_where_one_has_just_ended_even_by_sigkill(tmp_path: Path):
    file = write_config(tmp_path / "forebay.yaml")
    with running("ready", "gateway", "--config", str(file)) as process:
        process.kill()
        process.wait()
    http = yaml.safe_load(file.read_text())["listen"]["http"]
    until(lambda: not listens(http))
    with running("ready", "gateway", "--config", str(file)):
        pass


def listens(address: str) -> bool:
    """Whether anybody listens there."""
    port = int(address.rpartition(":")[2])
    return any(f":{port:04X} 00000000:0000 0A" in line for line in Path("/proc/net/tcp").read_text().splitlines())
