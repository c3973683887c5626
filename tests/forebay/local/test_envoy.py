"""Envoy's command line, and several Envoys on one machine."""

from pathlib import Path

from forebay.local.envoy import READY_PATH, envoy_argv
from forebay.local.probes import answers_ok
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
