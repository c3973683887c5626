"""The addresses and the configuration of `forebay up`."""

import contextlib
import os
from pathlib import Path

import pytest
import yaml

from forebay.local.configuration import Addresses, Base, write_configuration, write_simulated_models
from forebay.local.engines import MODEL
from forebay.local.ports import Ports
from gateway.config.loading import ConfigurationError, load, load_with_models
from routing.table import STRATEGIES


def addresses(engines: int = 2, workers: int = 2) -> Addresses:
    with contextlib.closing(Ports()) as ports:
        return Addresses.take(ports, engines, workers)


def write(folder: Path, where: Addresses, gpu: str = "", strategy: str = "", base: Path | None = None) -> Path:
    """Return the configuration that `forebay up` writes for simulated engines."""
    models = write_simulated_models(folder, where.engines, gpu)
    return write_configuration(folder, where, strategy, Base.read(base), models)


def test_no_two_processes_share_an_address():
    with contextlib.closing(Ports()) as ports:
        first, second = (Addresses.take(ports, 3, 2) for _ in range(2))

    taken = [*first.shell_variables().values(), *second.shell_variables().values()]
    assert len(taken) == len(set(taken))
    assert not {*first.workers, *first.engines} & {*second.workers, *second.engines}


def test_every_shell_variable_of_the_contract_is_there():
    names = ["GATEWAY", "ADMIN", "HTTP", "GRPC", "ENVOY_ADMIN", "REDIS_URL"]

    assert names == list(addresses().shell_variables())


def test_the_written_configuration_loads(tmp_path: Path):
    where = addresses()

    file = write(tmp_path, where, gpu="L20", strategy="random")
    settings = load_with_models(file, os.environ, STRATEGIES)

    assert (where.grpc, where.workers) == (settings.listen.grpc, settings.listen.workers)
    assert "random" == settings.routing.strategy
    [model] = settings.models
    assert MODEL == model.name
    assert [(where.engines[0], "engine-1", "L20"), (where.engines[1], "engine-2", "L20")] == [
        (endpoint.address, endpoint.name, endpoint.gpu) for endpoint in model.endpoints
    ]


def test_a_gpu_profile_in_a_file_is_named_after_the_file(tmp_path: Path):
    file = write(tmp_path, addresses(), gpu="profiles/mine.yaml")
    settings = load_with_models(file, {}, STRATEGIES)

    assert {"mine"} == {endpoint.gpu for endpoint in settings.models[0].endpoints}


def test_drain_s_is_a_second_unless_the_base_has_one(tmp_path: Path):
    base = tmp_path / "base.yaml"
    for text, drain_s in (("{}", 1.0), ("drain_s: 7", 7.0)):
        base.write_text(text)
        file = write(tmp_path, addresses(), base=base)
        assert drain_s == load(file, {}, STRATEGIES).drain_s


def test_sections_without_a_value_in_the_base_stand_for_their_defaults(tmp_path: Path):
    base = tmp_path / "base.yaml"
    base.write_text("redis:\nenvoy:\nrouting:\ndrain_s:\n")

    file = write(tmp_path, addresses(), strategy="random", base=base)

    assert "random" == load(file, {}, STRATEGIES).routing.strategy


@pytest.mark.parametrize("text", ["- a list", "redis: 5", "a: b: c", "no_such_key: 1"])
def test_an_invalid_base_is_refused(tmp_path: Path, text: str):
    base = tmp_path / "base.yaml"
    base.write_text(text)

    with pytest.raises(ConfigurationError):
        write(tmp_path, addresses(), base=base)


def test_without_a_strategy_the_default_stays(tmp_path: Path):
    file = write(tmp_path, addresses())

    assert "routing" not in yaml.safe_load(file.read_text())


def test_a_base_is_kept_except_addresses_and_models(tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text(
        "transport: grpc\nresponse_mode: ext_proc\nmodels: []\n"
        "envoy: {body_mode: full_duplex_streamed, listen: '1.2.3.4:5', gateways: ['1.2.3.4:6']}\n"
    )
    where = addresses()

    settings = load(write(tmp_path, where, base=base), {}, STRATEGIES)

    assert ("grpc", "full_duplex_streamed", where.users, ()) == (
        settings.transport,
        settings.envoy.body_mode,
        settings.envoy.listen,
        settings.envoy.gateways,
    )


def test_a_cluster_in_the_base_gives_the_engines_unless_others_are_asked_for(tmp_path: Path):
    base = tmp_path / "base.yaml"
    base.write_text("{kubernetes: {enabled: true, kubeconfig: k/config}, picker: {service: ns/forebay}}")
    where, read = addresses(), Base.read(base)

    folder = tmp_path / "run"
    folder.mkdir()
    kept = load(write_configuration(folder, where, "", read, None), {}, STRATEGIES)
    replaced = load(write(folder, where, base=base), {}, STRATEGIES)

    assert read.has_models
    assert (True, str(tmp_path / "k/config"), "") == (
        kept.kubernetes.enabled,
        kept.kubernetes.kubeconfig,
        kept.models_file,
    )
    assert (False, str(folder / "models.yaml")) == (replaced.kubernetes.enabled, replaced.models_file)
    assert ("ns/forebay", "") == (kept.picker.service, replaced.picker.service)


def test_an_optimizer_has_an_address_of_its_own_and_a_variable_only_where_one_runs():
    with contextlib.closing(Ports()) as ports:
        plain, planned = (Addresses.take(ports, 0, 1, has_optimizer=has) for has in (False, True))

    assert "OPTIMIZER" not in plain.shell_variables()
    assert f"http://{planned.optimizer}" == planned.shell_variables()["OPTIMIZER"]
