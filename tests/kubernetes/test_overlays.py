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


@pytest.mark.parametrize("overlay", ["default", "ext-proc"])
def test_users_have_exact_limits_and_only_the_token_makes_users(home: Forebay, overlay: str):
    home.install(overlay)
    home.apply(deployment(MODEL), service(MODEL))
    home.answers(200, MODEL)
    secret = json.loads(home.kubectl("get", "secret", "aibrix-secrets", "-n", NAMESPACE, "-o", "json"))
    token = base64.b64decode(secret["data"]["admin-token"]).decode()
    user = {"name": f"of-{overlay}", "rpm": 2, "tpm": 100_000}
    with httpx.Client(base_url=ADMIN, trust_env=False, headers={"authorization": f"Bearer {token}"}) as admin:
        assert 401 == home.admin("CreateUser", **user).status_code
        assert 200 == admin.post("CreateUser", json=user).status_code

        answers = [ask(user["name"]) for _ in range(3)]

        assert [200, 200, 429] == [answer.status_code for answer in answers]
        assert answers[0].headers["target-pod"].startswith(MODEL)
        assert ["1", "2"] == [answer.headers["x-update-rpm"] for answer in answers[:2]]
        used = sum(answer.json()["usage"]["total_tokens"] for answer in answers[:2])
        home.eventually(lambda: admin.get(f"users/{user['name']}/usage").json()["tokens"] == used)


def ask(user: object) -> httpx.Response:
    """Ask at the address of the load balancer."""
    headers, body = {"user": str(user)}, chat(MODEL, max_tokens=9)
    return httpx.post(f"http://{GATEWAY}{CHAT}", json=body, headers=headers, trust_env=False, timeout=60)
