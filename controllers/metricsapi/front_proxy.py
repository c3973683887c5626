"""The one caller of the metrics APIs: the API server, by the certificate of its front proxy.

Whoever asks the API server for a metric is known and allowed there (its RBAC knows `external.metrics.k8s.io` and
`custom.metrics.k8s.io` as any other API) before the question is passed on.  So nothing is left to decide here but that
it comes from the API server: a connection needs a certificate of the authority that signs for front proxies and for
nothing else, with one of the names that the cluster allows.  Nobody else gets as far as a request, and the headers
X-Remote-* are not read.

Lives here: that authority and these names, as the cluster tells them; TLS.  Not here: the server
(forebay.cluster.metrics_api).
"""

import json
import ssl
import tempfile
from typing import Any, NamedTuple

import msgspec

from controllers.metricsapi.certificate import Pair
from kube.client import Client
from kube.objects import Kind, Object

NAMESPACE, NAME = "kube-system", "extension-apiserver-authentication"
"""The ConfigMap in which an API server says how to know it (Kubernetes, "Configure the Aggregation Layer")."""


class ConfigMap(Object, frozen=True):
    """A ConfigMap."""

    data: dict[str, str] = msgspec.field(default_factory=dict)


CONFIG_MAPS = Kind("", "v1", "ConfigMap", "configmaps", ConfigMap)


class FrontProxy(NamedTuple):
    """How an API server is known when it passes a request on."""

    authority: str
    """Certificates in PEM."""
    names: frozenset[str]
    """Common names of its certificates; empty = any that the authority signed."""

    def knows(self, certificate: Any) -> bool:
        """Whether a certificate, as ssl gives it, is of a front proxy; the authority has signed it."""
        subject = (certificate or {}).get("subject", ())
        common = {value for attributes in subject for name, value in attributes if name == "commonName"}
        return bool(certificate) and (not self.names or not self.names.isdisjoint(common))


async def front_proxy(client: Client) -> FrontProxy:
    """Return how this cluster's API server is known.  Raises ApiError, and ValueError where it passes nothing on."""
    data = (await client.get(CONFIG_MAPS, NAME, NAMESPACE)).data
    authority = data.get("requestheader-client-ca-file", "")
    if not authority:
        raise ValueError(f"ConfigMap {NAMESPACE}/{NAME} has no requestheader-client-ca-file: no aggregation layer")
    return FrontProxy(authority, frozenset(json.loads(data.get("requestheader-allowed-names", "[]"))))


def tls_context(pair: Pair, proxy: FrontProxy) -> ssl.SSLContext:
    """Return a server's context that demands a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=proxy.authority)
    with tempfile.NamedTemporaryFile() as file:  # ssl reads keys from files only; nobody else may read this one
        file.write(pair.certificate + pair.key)
        file.flush()
        context.load_cert_chain(file.name)
    return context
