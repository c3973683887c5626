from pathlib import Path

from gateway.envoy.process import envoy_argv, envoy_ready
from gateway.settings import EnvoySettings, Settings
from tests.support.envoy import running_envoy, settings_for
from tests.support.ports import free_address


def test_the_command_line_says_where_the_configuration_is_and_how_long_to_drain():
    argv = envoy_argv(Settings(drain_s=7.5), Path("envoy.json"), concurrency=2)

    assert argv[argv.index("--config-path") + 1] == "envoy.json"
    assert argv[argv.index("--drain-time-s") + 1] == "8"
    assert argv[argv.index("--concurrency") + 1] == "2"


async def test_nobody_listening_is_not_ready():
    assert not await envoy_ready(Settings(envoy=EnvoySettings(admin=free_address())))


async def test_two_envoys_run_side_by_side(tmp_path: Path):
    first, second = (settings_for([free_address()], {}) for _ in range(2))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    async with running_envoy(first, tmp_path / "a"), running_envoy(second, tmp_path / "b"):
        assert await envoy_ready(first)
        assert await envoy_ready(second)
