"""The files of envoy.tls: what is wrong with them is said before Envoy starts."""

from pathlib import Path

import pytest

from gateway.config.certificates import certificate_problems
from gateway.config.settings import TlsSettings
from tests.support.certificates import a_certificate
from tests.support.configuration import loaded, problems_of


def problems(cert: Path | str, key: Path | str) -> list[str]:
    return list(certificate_problems(TlsSettings(cert=str(cert), key=str(key))))


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


@pytest.mark.parametrize(("given", "missing"), [("cert", "key"), ("key", "cert")])
def test_one_without_the_other_is_an_error(tmp_path: Path, given: str, missing: str):
    [problem] = problems_of(tmp_path, f"envoy: {{tls: {{{given}: a.pem}}}}")

    assert problem.startswith(f"envoy.tls.{missing} = ")


def test_paths_are_relative_to_the_configuration(tmp_path: Path):
    tls = loaded(tmp_path, "envoy: {tls: {cert: a.crt, key: /etc/a.key}}").envoy.tls

    assert (str(tmp_path / "a.crt"), "/etc/a.key") == (tls.cert, tls.key)
