"""The other overlays, applied in place of `dev`: what they change for users, and what they do not."""

import base64
import json
from collections.abc import Iterator

import httpx
import pytest

from tests.support.kubernetes.article import chat, deployment, service
from tests.support.kubernetes.installed import ADMIN, CHAT, NAMESPACE, Forebay
from tests.support.kubernetes.node.network import GATEWAY

MODEL = "overlaid"


@pytest.fixture(scope="module")
def home(forebay: Forebay) -> Iterator[Forebay]:
    """The installation, which in the end is again what other tests expect."""
    yield forebay
    forebay.kubectl("delete", "deployment,service", "-l", f"model.aibrix.ai/name={MODEL}")
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
    home.apply(deployment(MODEL), service(MODEL))
    home.answers(200, MODEL)

    limits_are_exact(home, "of-ext-proc")


def test_by_default_envoys_have_a_load_balancer(home: Forebay):
    home.install("default")
    home.apply(deployment(MODEL), service(MODEL))
    home.answers(200, MODEL)

    limits_are_exact(home, "of-default")
