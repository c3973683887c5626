"""The other overlays, applied in place of `dev`: what they change for users, and what they do not."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from tests.support.certificates import an_authority
from tests.support.kubernetes.article import chat
from tests.support.kubernetes.installed import ADMIN, CHAT, NAMESPACE, Forebay
from tests.support.kubernetes.node.network import GATEWAY
from tests.support.manifests import OVERLAYS, with_components

MODEL = "overlaid"


@pytest.fixture(scope="module")
def home(forebay: Forebay) -> Iterator[Forebay]:
    """The installation, which in the end is again what other tests expect."""
    yield forebay
    forebay.remove(MODEL)
    forebay.install("dev")


def ask(user: str) -> httpx.Response:
    """Ask at the address of the load balancer."""
    headers, body = {"user": user}, chat(MODEL, max_tokens=9)
    return httpx.post(f"http://{GATEWAY}{CHAT}", json=body, headers=headers, trust_env=False, timeout=60)


def limits_are_exact(home: Forebay, user: str) -> None:
    """Check the limits of a user, whom only the token can make."""
    secret = json.loads(home.kubectl("get", "secret", "aibrix-secrets", "-n", NAMESPACE, "-o", "json"))
    token = base64.b64decode(secret["data"]["admin-token"]).decode()
    record = {"name": user, "rpm": 2, "tpm": 100_000}
    with httpx.Client(base_url=ADMIN, trust_env=False, headers={"authorization": f"Bearer {token}"}) as admin:
        assert 401 == home.admin("CreateUser", **record).status_code
        assert 200 == admin.post("CreateUser", json=record).status_code

        answers = [ask(user) for _ in range(3)]

        assert [200, 200, 429] == [answer.status_code for answer in answers]
        assert answers[0].headers["target-pod"].startswith(MODEL)
        assert ["1", "2"] == [answer.headers["x-update-rpm"] for answer in answers[:2]]
        used = sum(answer.json()["usage"]["total_tokens"] for answer in answers[:2])
        home.eventually(lambda: admin.get(f"users/{user}/usage").json()["tokens"] == used)


def test_without_patches_answers_pass_through_the_gateway(home: Forebay):
    home.install("ext-proc")
    home.serve(MODEL)

    limits_are_exact(home, "of-ext-proc")


def test_by_default_envoys_have_a_load_balancer(home: Forebay):
    home.install("default")
    home.serve(MODEL)

    limits_are_exact(home, "of-default")


def with_mutual_tls(home: Forebay, folder: Path) -> Path:
    """Make the Secrets that the component mutual-tls needs, and an overlay with it."""
    authority = an_authority(folder)
    for secret, name in (("aibrix-gateway-plugins-tls", "aibrix-gateway-plugins"), ("aibrix-eg-client-tls", "envoy")):
        pair = authority.sign(name)
        files = {"tls.crt": pair.cert, "tls.key": pair.key, "ca.crt": authority.cert}
        made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret, "namespace": NAMESPACE}}
        home.apply(
            {**made, "type": "kubernetes.io/tls", "stringData": {key: one.read_text() for key, one in files.items()}}
        )
    overlay = folder / "overlay"
    overlay.mkdir()
    return with_components(overlay, OVERLAYS / "dev", "mutual-tls")


def test_envoy_and_the_gateway_prove_to_each_other_who_they_are(home: Forebay, tmp_path: Path):
    try:
        home.install(with_mutual_tls(home, tmp_path))
        home.serve(MODEL)
        home.admin("CreateUser", name="secret", rpm=9, tpm=100_000)

        answer = home.ask("secret", chat(MODEL))

        used = answer.json()["usage"]["total_tokens"]
        home.eventually(lambda: home.usage("secret")["tokens"] == used)  # access logs arrive, too
        pod = home.pods("app.kubernetes.io/name=aibrix-gateway-plugins", NAMESPACE)[0]
        address = home.kubectl("get", "pod", pod, "-n", NAMESPACE, "-o", "jsonpath={.status.podIP}:50052")
        with grpc.insecure_channel(address) as anybody, pytest.raises(grpc.RpcError):
            anybody.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)
    finally:
        home.kubectl("delete", "backendtlspolicy", "--all", "-n", NAMESPACE)
        home.kubectl("delete", "httproute", "aibrix-eg-client-certificate", "-n", NAMESPACE)
