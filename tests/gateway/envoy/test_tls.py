"""The TLS of Envoy's configuration; with the real Envoy it is tested in tests/e2e/own_stack/test_mutual_tls.py."""

from gateway.config.settings import Settings
from gateway.config.tls import GatewayTlsSettings, TlsSettings
from gateway.discovery.description import FleetDescription
from gateway.envoy.clusters import clusters
from gateway.envoy.endpoints import ENGINES
from gateway.envoy.tls import from_users, to_gateways

FILES = {"ca": "ca.crt", "name": "gateway", "cert": "envoy.crt", "key": "envoy.key"}


def test_without_files_there_is_no_tls():
    assert {} == from_users(TlsSettings()) == to_gateways(GatewayTlsSettings())


def test_every_cluster_of_workers_speaks_tls_and_the_engines_do_not():
    workers = ["127.0.0.1:1", "127.0.0.1:2"]
    settings = Settings.model_validate({"listen": {"workers": workers}, "envoy": {"gateway_tls": FILES}})

    made = clusters(settings, FleetDescription())

    assert 4 == len(made)
    assert {ENGINES} == {cluster["name"] for cluster in made if "transport_socket" not in cluster}


def test_envoy_trusts_one_authority_and_one_name_and_shows_its_certificate_only_where_it_has_one():
    shows, trusts = (
        to_gateways(GatewayTlsSettings.model_validate(files))["transport_socket"]["typed_config"]
        for files in (FILES, {"ca": "ca.crt", "name": "gateway"})
    )

    for made in (shows, trusts):
        validation = made["common_tls_context"]["validation_context"]
        assert ("gateway", {"filename": "ca.crt"}) == (made["sni"], validation["trusted_ca"])
        assert [{"san_type": "DNS", "matcher": {"exact": "gateway"}}] == validation["match_typed_subject_alt_names"]
    assert "tls_certificates" in shows["common_tls_context"]
    assert "tls_certificates" not in trusts["common_tls_context"]
