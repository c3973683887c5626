"""The TLS of Envoy's connections: from users, to the gateways, and to APIs in the cloud.

Lives here: the transport sockets.  Not here: where the files are named (gateway.config.tls).
"""

from gateway.config.addresses import is_ip
from gateway.config.tls import GatewayTlsSettings, TlsSettings
from gateway.envoy.messages import Json, extension

_VERSIONS: Json = {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}


def from_users(files: TlsSettings) -> Json:
    """Return the part of a filter chain that makes it speak TLS, nothing where users send plain HTTP."""
    if not files.cert:
        return {}
    common = {"alpn_protocols": ["h2", "http/1.1"], "tls_params": _VERSIONS, **_own(files)}
    return _socket("Downstream", common_tls_context=common)


def to_gateways(files: GatewayTlsSettings) -> Json:
    """Return the part of a cluster that makes it speak TLS, nothing where gateways get plain text."""
    if not files.ca:
        return {}
    named = {"san_type": "DNS", "matcher": {"exact": files.name}}
    trusted = {"trusted_ca": {"filename": files.ca}, "match_typed_subject_alt_names": [named]}
    common = {"alpn_protocols": ["h2"], "tls_params": _VERSIONS, "validation_context": trusted, **_own(files)}
    return _socket("Upstream", sni=files.name, common_tls_context=common)


def to_api(host: str, ca: str) -> Json:
    """Return the part of a cluster by which it speaks TLS to an API: only to a certificate of this host and of `ca`."""
    named = {"san_type": "IP_ADDRESS" if is_ip(host) else "DNS", "matcher": {"exact": host}}
    trusted = {"trusted_ca": {"filename": ca}, "match_typed_subject_alt_names": [named]}
    sni = {} if is_ip(host) else {"sni": host}
    return _socket("Upstream", **sni, common_tls_context={"tls_params": _VERSIONS, "validation_context": trusted})


def _own(files: TlsSettings | GatewayTlsSettings) -> Json:
    """Return the certificate that Envoy shows, if it has one."""
    if not files.cert:
        return {}
    return {
        "tls_certificates": [{"certificate_chain": {"filename": files.cert}, "private_key": {"filename": files.key}}]
    }


def _socket(side: str, **fields: Json | str) -> Json:
    context = f"envoy.extensions.transport_sockets.tls.v3.{side}TlsContext"
    return {"transport_socket": extension("envoy.transport_sockets.tls", context, **fields)}
