"""The Gateway's listeners: TLS for users, and our patches under both schemes of names that Envoy Gateway has."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.certificates import a_certificate
from tests.support.kubernetes.article import chat
from tests.support.kubernetes.installed import CHAT, NAMESPACE, OWNED, PROXIES, Forebay
from tests.support.kubernetes.node.network import GATEWAY
from tests.support.manifests import OVERLAYS, with_components

MODEL = "listened"


@pytest.fixture(scope="module")
def home(forebay: Forebay) -> Iterator[Forebay]:
    """The installation with a model; in the end it is again what other tests expect."""
    forebay.serve(MODEL)
    yield forebay
    forebay.remove(MODEL)


def is_whole(answer: httpx.Response) -> bool:
    """Whether the answer has what patches bring: headers of the pod and of the request."""
    named = {"target-pod", "target-pod-ip", "routing-strategy", "request-id"}
    return answer.status_code == 200 and named <= set(answer.headers)


def test_users_may_send_over_tls(home: Forebay, tmp_path: Path):
    cert, key = a_certificate(tmp_path)
    home.kubectl("create", "secret", "tls", "aibrix-eg-tls", "-n", NAMESPACE, f"--cert={cert}", f"--key={key}")
    home.kubectl("apply", "-k", with_components(tmp_path, OVERLAYS / "dev", "tls"))
    context = ssl.create_default_context(cafile=cert)
    context.check_hostname = False  # the certificate is for 127.0.0.1, the node has another address

    def answers() -> bool:
        query = "jsonpath={.items[0].spec.ports[?(@.port==443)].nodePort}"
        port = home.kubectl("get", "service", "-n", PROXIES, "-l", OWNED, "-o", query)
        try:
            url = f"https://{GATEWAY}:{port}{CHAT}"
            return is_whole(httpx.post(url, json=chat(MODEL, max_tokens=2), verify=context, trust_env=False))
        except httpx.HTTPError:
            return False

    try:
        home.eventually(answers, limit_s=120)
        assert ["True", "False"] == programmed(home, "https")
        assert is_whole(home.answers(200, MODEL))  # the plain listener stays
    finally:
        home.install("dev")
        home.kubectl("delete", "envoypatchpolicy", "-n", NAMESPACE, "aibrix-eg-https", "aibrix-eg-https-by-port")
        home.kubectl("delete", "secret", "-n", NAMESPACE, "aibrix-eg-tls")


def programmed(home: Forebay, listener: str = "http") -> list[str]:
    """The condition Programmed of each of the two policies of a listener: True where its patches were made."""
    policies = (f"aibrix-eg-{listener}", f"aibrix-eg-{listener}-by-port")
    query = 'jsonpath={.status.ancestors[0].conditions[?(@.type=="Programmed")].status}'
    return [home.kubectl("get", "envoypatchpolicy", name, "-n", NAMESPACE, "-o", query) for name in policies]


def configure(home: Forebay, **more: object) -> None:
    """Restart Envoy Gateway with more in its configuration."""
    given = json.loads(home.kubectl("get", "configmap", "envoy-gateway-config", "-n", PROXIES, "-o", "json"))
    config = {**yaml.safe_load(given["data"]["envoy-gateway.yaml"]), **more}
    data = {"data": {"envoy-gateway.yaml": yaml.safe_dump(config)}}
    home.kubectl("patch", "configmap", "envoy-gateway-config", "-n", PROXIES, "--type=merge", "-p", json.dumps(data))
    home.kubectl("rollout", "restart", "deployment/envoy-gateway", "-n", PROXIES)
    home.rolled_out("envoy-gateway", PROXIES)


def test_patches_are_made_under_either_scheme_of_names(home: Forebay):
    home.eventually(lambda: programmed(home) == ["True", "False"], limit_s=120)
    try:
        configure(home, runtimeFlags={"enabled": ["XDSNameSchemeV2"]})

        home.eventually(lambda: programmed(home) == ["False", "True"], limit_s=120)
        home.eventually(lambda: is_whole(home.answers(200, MODEL)))
    finally:
        configure(home, runtimeFlags={"enabled": []})
        home.eventually(lambda: programmed(home) == ["True", "False"], limit_s=120)
