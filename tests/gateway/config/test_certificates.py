"""The files of TLS: what is wrong with them is said before anything starts."""

from pathlib import Path

import pytest

from gateway.config.certificates import (
    all_file_problems,
    envoy_file_problems,
    gateway_file_problems,
    rendered_problems,
)
from gateway.config.loading import ConfigurationError, load_with_models
from gateway.config.settings import Settings
from tests.support.certificates import a_certificate, an_authority
from tests.support.configuration import STRATEGIES, written


def problems(cert: Path | str, key: Path | str) -> list[str]:
    return list(envoy_file_problems(Settings.model_validate({"envoy": {"tls": {"cert": str(cert), "key": str(key)}}})))


def test_a_certificate_with_its_key_is_sound_and_none_is_too(tmp_path: Path):
    assert [] == problems(*a_certificate(tmp_path))
    assert [] == problems("", "")


def test_a_missing_file_a_folder_and_a_key_of_another_are_named(tmp_path: Path):
    cert, key = a_certificate(tmp_path)
    _, other = a_certificate(tmp_path, "other")
    garbage = tmp_path / "garbage"
    garbage.write_text("garbage")

    assert [f"envoy.tls.key = {tmp_path}/none, no such file"] == problems(cert, tmp_path / "none")
    assert [f"envoy.tls.cert = {tmp_path}, cannot be read: Is a directory"] == problems(tmp_path, key)
    assert "must be the key of envoy.tls.cert" in problems(cert, other)[0]
    assert "PEM" in problems(cert, garbage)[0]
    assert "PEM" in problems(garbage, key)[0]


def test_each_file_is_named_by_its_key_and_read_by_whoever_needs_it(tmp_path: Path):
    ca = an_authority(tmp_path)
    cert, key = ca.sign("gateway")
    sound = {"cert": str(cert), "key": str(key)}
    listen = {"tls": {**sound, "client_ca": str(key)}}
    envoy = {"gateway_tls": {**sound, "ca": str(tmp_path / "none"), "name": "gateway"}}
    settings = Settings.model_validate({"listen": listen, "envoy": envoy})

    of_gateway = [f"listen.tls.client_ca = {key}, must hold PEM certificates"]
    of_envoy = [f"envoy.gateway_tls.ca = {tmp_path}/none, no such file"]
    assert of_gateway == list(gateway_file_problems(settings))
    assert of_envoy == list(envoy_file_problems(settings)) == list(rendered_problems(settings))
    assert of_gateway + of_envoy == list(all_file_problems(settings))


def test_an_envoy_that_is_rendered_must_speak_tls_where_its_own_gateway_does(tmp_path: Path):
    ca = an_authority(tmp_path)
    cert, key = ca.sign("gateway")
    listen = {"tls": {"cert": str(cert), "key": str(key), "client_ca": str(ca.cert)}}
    others = {"envoy": {"gateways": ["gateway:50052"]}}
    pages = {"tls": {"cert": str(cert), "key": str(key), "addresses": ["admin"]}}

    assert [
        "envoy.gateway_tls.ca is missing: must name the authority of listen.tls.cert",
        "envoy.gateway_tls.cert is missing: must be a certificate by listen.tls.client_ca",
    ] == list(rendered_problems(Settings.model_validate({"listen": listen})))
    assert [] == list(rendered_problems(Settings.model_validate({"listen": listen, **others})))
    assert [] == list(rendered_problems(Settings.model_validate({"listen": pages})))


def test_an_envoy_that_is_rendered_must_not_speak_tls_where_its_own_gateway_does_not(tmp_path: Path):
    ca = an_authority(tmp_path)
    cert, key = map(str, ca.sign("gateway"))
    envoy = {"gateway_tls": {"ca": str(ca.cert), "name": "gateway"}}
    pages = {"tls": {"cert": cert, "key": key, "addresses": ["admin"]}}

    for listen in ({}, pages):
        [problem] = rendered_problems(Settings.model_validate({"listen": listen, "envoy": envoy}))
        assert problem.startswith(f"envoy.gateway_tls.ca = {ca.cert}, must be empty")
    others = {**envoy, "gateways": ["gateway:50052"]}
    assert [] == list(rendered_problems(Settings.model_validate({"envoy": others})))


def test_a_gateway_does_not_start_without_its_files_and_says_so_in_a_line(tmp_path: Path):
    file = written(tmp_path, "{listen: {tls: {cert: a.crt, key: a.crt}}, envoy: {tls: {cert: b.crt, key: b.crt}}}")
    (tmp_path / "a.crt").write_text("garbage")

    with pytest.raises(ConfigurationError) as caught:
        load_with_models(file, {}, STRATEGIES)

    [problem] = caught.value.problems
    assert problem.startswith(f"{file}: listen.tls.key = {tmp_path}/a.crt, must be a PEM key")


def test_the_key_of_an_api_must_be_there_and_be_a_key(tmp_path: Path):
    ca = an_authority(tmp_path).cert
    files = {"sound": b"sk-1\n", "page": b"<html> no key", "empty": b"\n"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)

    def problems(**key: str) -> list[str]:
        api = {"url": "https://api.test", "ca": str(ca), "models": {"big": "gpt"}, **key}
        settings = Settings.model_validate({"pools": [{"name": "cloud", "priority": 1, "api": api}]})
        return [line.replace(str(tmp_path), "") for line in envoy_file_problems(settings)]

    assert [] == problems(key_file=str(tmp_path / "sound"))
    assert ["pools[0].api.key_file = /gone, no such file"] == problems(key_file=str(tmp_path / "gone"))
    rule = "must hold an API key alone, without blanks"
    assert [f"pools[0].api.key_file = /page, {rule}"] == problems(key_file=str(tmp_path / "page"))
    assert [f"pools[0].api.key_file = /empty, {rule}"] == problems(key_file=str(tmp_path / "empty"))
