"""Envoy's command line, its process, and several Envoys on one machine."""

from pathlib import Path

import orjson

from forebay.local.eds_file import eds_file_kept_current
from forebay.local.envoy import READY_PATH, envoy_argv, envoy_spec
from forebay.local.supervision.probes import answers_ok
from forebay.local.supervision.supervisor import Supervisor
from gateway.config.settings import Settings
from tests.support.envoy import running_envoy, settings_for
from tests.support.ports import free_address


def test_the_command_line_says_where_the_configuration_is_and_how_long_to_drain():
    argv = envoy_argv(Settings(drain_s=7.5), Path("envoy.json"), concurrency=2)

    assert argv[argv.index("--config-path") + 1] == "envoy.json"
    assert argv[argv.index("--drain-time-s") + 1] == "8"
    assert argv[argv.index("--concurrency") + 1] == "2"


async def test_two_envoys_run_side_by_side(tmp_path: Path):
    first, second = (settings_for([free_address()], {}) for _ in range(2))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    async with running_envoy(first, tmp_path / "a"), running_envoy(second, tmp_path / "b"):
        assert await answers_ok(first.envoy.admin, READY_PATH)
        assert await answers_ok(second.envoy.admin, READY_PATH)


async def test_an_envoy_starts_on_the_configuration_that_is_written_for_it(tmp_path: Path):
    settings = settings_for([free_address()], {}, envoy={"eds_file": str(tmp_path / "envoy" / "endpoints.json")})
    (tmp_path / "envoy").mkdir()
    supervisor = Supervisor([].append)
    try:
        async with eds_file_kept_current(settings, [].append):
            await supervisor.start(envoy_spec(settings, tmp_path, tmp_path))
        assert ["envoy"] == [spec.role for spec, _ in supervisor.running()]
    finally:
        await supervisor.stop()
    assert orjson.loads((tmp_path / "envoy" / "envoy.json").read_bytes())["admin"]
