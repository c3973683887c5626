"""The certificate of the metrics APIs: made once, kept in a Secret that all processes share, told to the API server.

Lives here: making, keeping and telling it.  Not here: serving with it (forebay.cluster.metrics_api), who may call
(front_proxy).  It is self-signed: the API server trusts it alone, because it stands in the APIServices (`caBundle`).
To make a new one, delete the Secret and restart the processes.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kube.client import Client
from kube.errors import AlreadyExists, NotFound
from kube.objects import Kind, Object, body

VALID = timedelta(days=3650)
"""Chosen: longer than an installation goes without a restart, so that processes never hold two different ones."""
SKEW = timedelta(hours=1)
"""The clock of an API server may be so far behind (chosen)."""


class Pair(NamedTuple):
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes


class Place(NamedTuple):
    """The Service behind the APIServices, and the Secret of its certificate, both in one namespace."""

    namespace: str
    service: str
    secret: str


class Secret(Object, frozen=True):
    """A Secret; values are in base64."""

    data: dict[str, str] = msgspec.field(default_factory=dict)


class _Reference(msgspec.Struct, frozen=True):
    name: str = ""
    namespace: str = ""


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    service: _Reference | None = None
    ca_bundle: str = ""


class ApiService(Object, frozen=True):
    """An APIService: which Service answers for a version of an API."""

    spec: _Spec = _Spec()


SECRETS = Kind("", "v1", "Secret", "secrets", Secret)
API_SERVICES = Kind("apiregistration.k8s.io", "v1", "APIService", "apiservices", ApiService)


def make(names: Sequence[str], now_s: float) -> Pair:
    """Return a new certificate for these DNS names."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.fromtimestamp(now_s, UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    certificate = (
        x509.CertificateBuilder(
            subject, subject, key.public_key(), x509.random_serial_number(), now - SKEW, now + VALID
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    key_text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    return Pair(certificate.public_bytes(pem), key_text)


async def kept(client: Client, place: Place, now_s: float) -> Pair:
    """Return the pair in the Secret; the first process to ask makes it.  Raises ApiError, and ValueError for another's
    Secret.
    """
    try:
        secret = await client.get(SECRETS, place.secret, place.namespace)
    except NotFound:
        secret = await _make(client, place, now_s)
    try:
        return Pair(b64decode(secret.data["tls.crt"]), b64decode(secret.data["tls.key"]))
    except KeyError as error:
        raise ValueError(f"Secret {place.namespace}/{place.secret} has no {error}") from error


async def _make(client: Client, place: Place, now_s: float) -> Secret:
    name = f"{place.service}.{place.namespace}.svc"
    pair = make((name, f"{name}.cluster.local"), now_s)
    data = {"tls.crt": b64encode(pair.certificate).decode(), "tls.key": b64encode(pair.key).decode()}
    secret = body(SECRETS, place.secret, place.namespace, type="kubernetes.io/tls", data=data)
    try:
        return await client.create(SECRETS, secret)
    except AlreadyExists:  # another process was faster
        return await client.get(SECRETS, place.secret, place.namespace)


async def tell(client: Client, place: Place, certificate: bytes, names: Sequence[str]) -> None:
    """Have the API server trust the certificate for the APIServices of these names that are ours.  Raises ApiError.

    One that names another Service is another adapter's, and stays as it is.
    """
    bundle = b64encode(certificate).decode()
    for name in names:
        try:
            found = await client.get(API_SERVICES, name)
        except NotFound:
            continue
        if found.spec.service == _Reference(place.service, place.namespace) and found.spec.ca_bundle != bundle:
            fields = {"spec": {"caBundle": bundle, "insecureSkipTLSVerify": None}}
            await client.merge(API_SERVICES, name, "", fields)
