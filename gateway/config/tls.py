"""The keys about TLS, of all listeners and connections that can speak it.

Lives here: which files there are and what they mean.  Not here: reading them (certificates, gateway.serving.tls), the
other keys (settings).
"""

from typing import Literal

from gateway.config.section import Section


class TlsSettings(Section):
    """TLS for users, since API keys travel there: TLS 1.2 or newer, HTTP/2 by ALPN.  Empty: plain HTTP."""

    cert: str = ""
    """A PEM file with the certificate and those between it and its authority.  A relative path starts at the folder of
    this file.  Envoy reads it when it starts."""
    key: str = ""
    """A PEM file with the private key, without a password.  Both files are read by Envoy alone."""


class ListenTlsSettings(Section):
    """TLS on the gateway's own addresses: TLS 1.2 or newer.  Its files are read again when they change.  Empty: plain
    text."""

    cert: str = ""
    """A PEM file with the certificate and those between it and its authority.  A relative path starts at the folder of
    this file."""
    key: str = ""
    """A PEM file with the private key, without a password."""
    client_ca: str = ""
    """A PEM file with authorities: only clients with a certificate of theirs may speak gRPC (mutual TLS).  Use an
    authority that signs for your Envoys alone.  Empty: gRPC asks clients for no certificate."""
    addresses: tuple[Literal["grpc", "http", "admin"], ...] = ("grpc",)
    """The addresses that speak TLS; `grpc` stands for `listen.workers` too.  Clients of `http` and `admin` need no
    certificate.  Must not be given without `cert`, or be empty with it."""

    @property
    def on(self) -> frozenset[str]:
        """The addresses that speak TLS; none without a certificate."""
        return frozenset(self.addresses) if self.cert else frozenset()


class GatewayTlsSettings(Section):
    """TLS from Envoy to the gateways: TLS 1.2 or newer.  Empty: plain text.  Envoy reads the files when it starts."""

    ca: str = ""
    """A PEM file with the authority of the gateways' certificates.  A relative path starts at the folder of this file.
    Empty: Envoy speaks plain text to the gateways."""
    name: str = ""
    """The DNS name that the gateways' certificates must have; required with `ca`."""
    cert: str = ""
    """A PEM file with the certificate that Envoy shows to the gateways, where their `listen.tls.client_ca` asks."""
    key: str = ""
    """A PEM file with its private key, without a password."""
