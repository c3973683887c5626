"""Addresses and configuration of `forebay up`; its engines and its Envoy for real."""

import contextlib
import os
from pathlib import Path

import orjson
import pytest
import yaml

from forebay.local.eds_follower import envoy_endpoints
from forebay.local.ports import Ports
from forebay.local.stack import MODEL, Addresses, engine_parts, envoy_part, write_configuration
from forebay.local.supervisor import Supervisor
from gateway.config.loading import ConfigurationError, load, load_with_models
from routing.table import STRATEGIES


def addresses(engines: int = 2, workers: int = 2) -> Addresses:
    with contextlib.closing(Ports()) as ports:
        return Addresses.take(ports, engines, workers)


def test_nobody_shares_an_address():
    with contextlib.closing(Ports()) as ports:
        first, second = (Addresses.take(ports, 3, 2) for _ in range(2))

    taken = [*first.shell_variables().values(), *second.shell_variables().values()]
    assert len(taken) - 1 == len(set(taken))  # only the model has the same name
    assert not {*first.workers, *first.engines} & {*second.workers, *second.engines}


def test_scripts_find_every_name_they_know():
    names = ["GATEWAY", "ADMIN", "HTTP", "GRPC", "ENVOY_ADMIN", "REDIS_URL", "ENGINES", "MODEL"]

    assert names == list(addresses().shell_variables())


def test_the_configuration_written_is_one_that_loads(tmp_path: Path):
    where = addresses()

    file = write_configuration(tmp_path, where, gpu="L20", strategy="random", base=None)
    settings = load_with_models(file, os.environ, STRATEGIES)

    assert (where.grpc, where.workers) == (settings.listen.grpc, settings.listen.workers)
    assert "random" == settings.routing.strategy
    [model] = settings.models
    assert MODEL == model.name
    assert [(where.engines[0], "engine-1", "L20"), (where.engines[1], "engine-2", "L20")] == [
        (endpoint.address, endpoint.name, endpoint.gpu) for endpoint in model.endpoints
    ]


def test_a_profile_in_a_file_goes_by_the_files_name(tmp_path: Path):
    file = write_configuration(tmp_path, addresses(), gpu="profiles/mine.yaml", strategy="", base=None)
    settings = load_with_models(file, {}, STRATEGIES)

    assert {"mine"} == {endpoint.gpu for endpoint in settings.models[0].endpoints}


def test_ctrl_c_waits_a_second_for_answers_unless_told_otherwise(tmp_path: Path):
    base = tmp_path / "base.yaml"
    for text, drain_s in (("{}", 1.0), ("drain_s: 7", 7.0)):
        base.write_text(text)
        file = write_configuration(tmp_path, addresses(), gpu="", strategy="", base=base)
        assert drain_s == load(file, {}, STRATEGIES).drain_s


def test_sections_without_a_value_in_the_base_mean_their_defaults(tmp_path: Path):
    base = tmp_path / "base.yaml"
    base.write_text("redis:\nenvoy:\nrouting:\ndrain_s:\n")

    file = write_configuration(tmp_path, addresses(), gpu="", strategy="random", base=base)

    assert "random" == load(file, {}, STRATEGIES).routing.strategy


@pytest.mark.parametrize("text", ["- a list", "redis: 5", "a: b: c", "no_such_key: 1"])
def test_a_base_that_is_no_configuration_is_refused_as_such(tmp_path: Path, text: str):
    base = tmp_path / "base.yaml"
    base.write_text(text)

    with pytest.raises(ConfigurationError):
        write_configuration(tmp_path, addresses(), gpu="", strategy="", base=base)


def test_without_a_strategy_the_default_stays(tmp_path: Path):
    file = write_configuration(tmp_path, addresses(), gpu="", strategy="", base=None)

    assert "routing" not in yaml.safe_load(file.read_text())


async def test_engines_and_envoy_start(tmp_path: Path):
    where = addresses(engines=1)
    file = write_configuration(tmp_path, where, gpu="", strategy="", base=None)
    settings = load(file, os.environ, STRATEGIES)
    supervisor = Supervisor([].append)
    try:
        async with envoy_endpoints(settings, [].append):
            await supervisor.start(*engine_parts(where.engines, "", tmp_path), envoy_part(settings, tmp_path, tmp_path))
        assert ["engine", "envoy"] == [part.role for part, _ in supervisor.running()]
    finally:
        await supervisor.stop()
    assert orjson.loads((tmp_path / "envoy" / "envoy.json").read_bytes())["admin"]


def test_a_given_configuration_is_kept_but_for_addresses_and_models(tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text(
        "transport: grpc\nresponse_mode: ext_proc\nmodels: []\n"
        "envoy: {body_mode: full_duplex_streamed, listen: '1.2.3.4:5'}\n"
    )
    where = addresses()

    settings = load(write_configuration(tmp_path, where, gpu="", strategy="", base=base), {}, STRATEGIES)

    assert ("grpc", "full_duplex_streamed", where.users) == (
        settings.transport,
        settings.envoy.body_mode,
        settings.envoy.listen,
    )
