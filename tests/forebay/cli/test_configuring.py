"""The commands about the configuration file: what they print, with every problem on a line."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from gateway.config.page import configuration_page
from gateway.config.schema import settings_schema
from gateway.config.settings import Settings
from gateway.discovery.description import FleetDescription
from tests.support.certificates import an_authority
from tests.support.command import run
from tests.support.configuration import written
from tests.support.ports import free_port


def test_envoy_config_prints_what_is_rendered_from_the_file(replaced, tmp_path):
    def render(settings: Settings, fleet: FleetDescription) -> Mapping[str, object]:
        return {"listen": settings.envoy.listen, "models": list(fleet.models)}

    replaced("gateway.envoy.config", render=render)
    written(tmp_path, "[{name: m}]", "fleet.yaml")
    file = written(tmp_path, "{models_file: fleet.yaml, envoy: {listen: '127.0.0.1:9'}}")

    assert "listen: 127.0.0.1:9\nmodels:\n- m\n" == run("envoy-config", "--config", str(file)).output


def test_envoy_config_writes_the_endpoints_without_which_envoy_does_not_start_unless_they_are_there(tmp_path):
    endpoint = "{name: m, endpoints: [{address: '10.0.0.1:8000'}]}"
    file = written(tmp_path, f"{{models: [{endpoint}], envoy: {{eds_file: run/eds.json}}}}")

    assert f"path: {tmp_path}/run/eds.json" in run("envoy-config", "--config", str(file)).output
    assert "10.0.0.1" in (tmp_path / "run/eds.json").read_text()
    (tmp_path / "run/eds.json").write_text("a gateway's")
    run("envoy-config", "--config", str(file))
    assert "a gateway's" == (tmp_path / "run/eds.json").read_text()


def test_a_good_file_is_ok_and_summarised_without_secrets(tmp_path):
    file = written(
        tmp_path,
        """
        redis: {url: "redis://:hush@cache:6379/0"}
        models: [{name: m, endpoints: [{address: "10.0.0.1:8000"}]}, {name: n}]
        """,
    )

    result = run("check-config", str(file))

    assert 0 == result.exit_code
    assert f"{file}: ok" == result.output.splitlines()[0]
    assert "  models: m (1 endpoints), n (0 endpoints)" in result.output
    assert "redis://***@cache:6379/0" in result.output


@pytest.mark.parametrize(("namespace", "named"), [("", "all namespaces"), ("ai", "ai")])
def test_the_summary_says_whose_pods_are_the_engines(tmp_path, namespace, named):
    file = written(tmp_path, f"{{kubernetes: {{enabled: true, namespace: '{namespace}'}}}}")

    assert f"  models: pods of {named} in Kubernetes" in run("check-config", str(file)).output


@pytest.mark.parametrize(
    ("text", "senders"),
    [
        ("", "whom the header user names, which is believed; a request without that header is served without limits"),
        ("anonymous: deny", "whom the header user names, which is believed; a request without that header is refused"),
        ("anonymous: guest", "a request without that header counts as the user guest"),
        ("identity: api_key", "whoever has an API key, as its user; a request without a key is refused (401)"),
        ("{identity: api_key, anonymous: allow}", "a request without a key is served without limits"),
    ],
)
def test_the_summary_says_who_may_send(tmp_path, text, senders):
    [line] = [
        line for line in run("check-config", str(written(tmp_path, text))).output.splitlines() if "who may send" in line
    ]

    assert senders in line


@pytest.mark.parametrize(
    ("text", "administrators"),
    [
        ("", "programs of this machine, without a token"),
        ("{listen: {admin: '0.0.0.0:8090'}, admin_token: t}", "whoever has the admin_token"),
        (
            "{listen: {admin: '0.0.0.0:8090'}, admin_open: true}",
            "whoever reaches 0.0.0.0:8090, without a token (admin_open: for closed test clusters)",
        ),
    ],
)
def test_the_summary_says_who_may_administer(tmp_path, text, administrators):
    output = run("check-config", str(written(tmp_path, text))).output

    assert f"  who may administer: {administrators}" in output.splitlines()


def test_tls_is_summarised_and_both_sides_of_it_must_be_there_for_an_envoy_that_is_rendered(tmp_path):
    ca = an_authority(tmp_path)
    ca.sign("gateway")
    tls = "{cert: gateway.crt, key: gateway.key, client_ca: ca.crt, addresses: [grpc, admin]}"
    file = written(tmp_path, f"listen: {{tls: {tls}}}")

    checked, rendered = run("check-config", str(file)), run("envoy-config", "--config", str(file))

    said = "  TLS: listen.grpc, listen.admin; gRPC wants certificates by listen.tls.client_ca"
    assert said in checked.output.splitlines()
    assert 0 != rendered.exit_code
    assert f"{file}: envoy.gateway_tls.ca is missing: must name the authority of listen.tls.cert" in rendered.output


def test_a_bad_file_gets_every_problem_and_status_1(tmp_path):
    file = written(tmp_path, "{redis: {timeout_s: -1}, strategy: random}")

    result = run("check-config", str(file))

    assert (1, [
        f"{file}: redis.timeout_s = -1, must be greater than 0",
        f"{file}: strategy is unknown, did you mean routing.strategy?",
    ]) == (result.exit_code, result.output.splitlines())  # fmt: skip


def test_a_bad_models_file_is_found_too(tmp_path):
    file = written(tmp_path, "models_file: fleet.yaml")

    result = run("check-config", str(file))

    assert 1 == result.exit_code
    assert [f"{tmp_path / 'fleet.yaml'}: no such file"] == result.output.splitlines()


def test_config_schema_prints_the_schema_as_json():
    assert settings_schema() == orjson.loads(run("config-schema").output)


def test_config_docs_prints_the_page():
    assert configuration_page() == run("config-docs").output


def test_init_writes_a_file_that_is_ok_and_never_replaces_one_without_force(tmp_path):
    file = tmp_path / "mine.yaml"
    written_first = run("init", str(file))
    text = file.read_text()
    checked = run("check-config", str(file))
    file.write_text("mine: 1")
    again, kept = run("init", str(file)), file.read_text()
    forced = run("init", str(file), "--force")

    assert (0, f"{file}: written.  Run it: forebay up --config {file}\n") == (
        written_first.exit_code,
        written_first.output,
    )
    assert (0, f"{file}: ok") == (checked.exit_code, checked.output.splitlines()[0])
    assert (1, f"Error: {file} exists; --force replaces it\n", "mine: 1") == (again.exit_code, again.output, kept)
    assert (0, text) == (forced.exit_code, file.read_text())


@pytest.mark.parametrize("on_path", [False, True])
def test_init_names_the_next_command_as_it_can_be_typed(tmp_path, on_path):
    command = Path(sys.executable).parent / "forebay"
    environment = {"PATH": str(command.parent) if on_path else str(tmp_path)}
    argv = [command, "init", "mine.yaml"]
    said = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    assert f"mine.yaml: written.  Run it: {'forebay' if on_path else command} up --config mine.yaml\n" == said


@pytest.mark.parametrize("at", ["missing/f.yaml", "file/f.yaml"])
def test_init_says_in_one_line_where_it_cannot_write(tmp_path, at):
    (tmp_path / "file").touch()

    result = run("init", str(tmp_path / at))

    assert 1 == result.exit_code
    assert result.output.startswith(f"Error: {tmp_path / at}: cannot be written: ")
    assert 1 == len(result.output.splitlines())


def test_init_says_in_one_line_which_engine_does_not_answer(tmp_path):
    url = f"http://127.0.0.1:{free_port()}"

    result = run("init", str(tmp_path / "mine.yaml"), "--engine-url", url)

    assert f"Error: --engine-url = {url}, {url[7:]} cannot be reached: connection refused\n" == result.output
    assert not (tmp_path / "mine.yaml").exists()
