"""The keys about TLS: what must come together, and where relative paths start."""

from pathlib import Path

import pytest

from tests.support.configuration import loaded, problems_of


@pytest.mark.parametrize("section", ["envoy: {{tls: {}}}", "listen: {{tls: {}}}", "envoy: {{gateway_tls: {}}}"])
@pytest.mark.parametrize(("given", "missing"), [("cert", "key"), ("key", "cert")])
def test_one_without_the_other_is_an_error(tmp_path: Path, section: str, given: str, missing: str):
    problem, *_ = problems_of(tmp_path, section.format(f"{{{given}: a.pem}}"))

    assert problem.partition(" = ")[0].endswith(f"tls.{missing}")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("listen: {tls: {client_ca: a.pem}}", "listen.tls.client_ca"),
        ("listen: {tls: {cert: a, key: a, client_ca: a, addresses: [admin]}}", "listen.tls.client_ca"),
        ("listen: {tls: {addresses: [grpc]}}", "listen.tls.cert"),
        ("listen: {tls: {addresses: [admin, http], cert: '', key: ''}}", "listen.tls.cert"),
        ("listen: {tls: {cert: a, key: a, addresses: []}}", "listen.tls.addresses"),
        ("listen: {tls: {cert: a, key: a, addresses: [all]}}", "listen.tls.addresses[0]"),
        ("envoy: {gateway_tls: {ca: a}}", "envoy.gateway_tls.name"),
        ("envoy: {gateway_tls: {name: a}}", "envoy.gateway_tls.ca"),
        ("envoy: {gateway_tls: {cert: a, key: a}}", "envoy.gateway_tls.ca"),
    ],
)
def test_what_would_be_without_effect_or_without_a_check_is_an_error(tmp_path: Path, text: str, key: str):
    [problem] = problems_of(tmp_path, text)

    assert key == problem.partition(" = ")[0]


def test_paths_are_relative_to_the_configuration(tmp_path: Path):
    listen = "listen: {tls: {cert: a.crt, key: /etc/a.key, client_ca: ca.crt}}"
    envoy = "envoy: {tls: {cert: b.crt, key: b.key}, gateway_tls: {ca: c.crt, name: n}}"
    settings = loaded(tmp_path, f"{listen}\n{envoy}")

    own, users, gateways = settings.listen.tls, settings.envoy.tls, settings.envoy.gateway_tls
    assert (f"{tmp_path}/a.crt", "/etc/a.key", f"{tmp_path}/ca.crt") == (own.cert, own.key, own.client_ca)
    assert (f"{tmp_path}/b.crt", f"{tmp_path}/b.key") == (users.cert, users.key)
    assert (f"{tmp_path}/c.crt", "", "n") == (gateways.ca, gateways.cert, gateways.name)
