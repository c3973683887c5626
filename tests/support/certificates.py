"""Certificates for tests, made by openssl."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
NAME = "gateway.test"
"""The DNS name in certificates of an authority."""


def a_certificate(folder: Path, name: str = "users") -> tuple[Path, Path]:
    """Make a self-signed certificate for 127.0.0.1 and its key; return their paths."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    argv = ["req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN={name}"]
    _openssl(*argv, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert)
    return cert, key


class Pair(NamedTuple):
    """A certificate and its key."""

    cert: Path
    key: Path


class Authority(NamedTuple):
    """A certificate authority of its own, which makes certificates in its folder."""

    cert: Path
    key: Path

    def sign(self, name: str) -> Pair:
        """Make a certificate for 127.0.0.1, NAME and this DNS name, and its key."""
        folder = self.cert.parent
        cert, key, request, names = (folder / f"{name}.{kind}" for kind in ("crt", "key", "csr", "ext"))
        names.write_text(f"subjectAltName=IP:127.0.0.1,DNS:{NAME},DNS:{name}")
        _openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        by = ("-CA", self.cert, "-CAkey", self.key, "-CAcreateserial")
        _openssl("x509", "-req", "-in", request, "-days", "2", *by, "-extfile", names, "-out", cert)
        return Pair(cert, key)

    def client(self, name: str = "client") -> grpc.ChannelCredentials:
        """Credentials of a gRPC client with a certificate of this authority, which trusts it."""
        cert, key = self.sign(name)
        return grpc.ssl_channel_credentials(self.cert.read_bytes(), key.read_bytes(), cert.read_bytes())


def an_authority(folder: Path, name: str = "ca") -> Authority:
    """Make an authority whose files are in the folder."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    _openssl("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN={name}", "-keyout", key, "-out", cert)
    return Authority(cert, key)


def _openssl(*argv: str | Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates")
    subprocess.run(["openssl", *argv], check=True, capture_output=True)


def mutual_tls(ca: Authority) -> dict[str, str]:
    """Settings `listen.tls` that demand certificates of this authority from clients."""
    cert, key = ca.sign("gateway")
    return {"cert": str(cert), "key": str(key), "client_ca": str(ca.cert)}


def to_gateways(ca: Authority, name: str = NAME) -> dict[str, str]:
    """Settings `envoy.gateway_tls` of an Envoy with a certificate of this authority, which trusts it."""
    cert, key = ca.sign("envoy")
    return {"ca": str(ca.cert), "name": name, "cert": str(cert), "key": str(key)}
