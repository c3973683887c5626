"""Clients reach no other address, model or limit, whatever they send, on the real routes."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.support.kubernetes.article import chat
from tests.support.kubernetes.installed import CHAT, NAMESPACE, Forebay

OWN, OTHER = "spoofed", "coveted"
TRAP = "trap"
PORT = 8000
BLOCKED = "blocked"
"""A user to whom nothing is allowed."""
DESTINATIONS = (
    "target-pod", "Target-Pod", "TARGET-POD", "target_pod", "target-pod-ip", "x-gateway-destination-endpoint",
    "X-Gateway-Destination-Endpoint", "x_gateway_destination_endpoint", "x-gateway_destination-endpoint",
    "x-envoy-original-dst-host", "x-forebay-destination",
)  # fmt: skip
PATHS = (
    "/v1/chat/completions", "/v1/chat/completions/", "/v1//chat/completions", "/v1/chat%2Fcompletions",
    "/v1/./chat/completions", "/v1/chat/completions?model=coveted", "/v1/chat/completions;x", "/v1/CHAT/completions",
    "/v1/completions/../chat/completions", "/v1/chat/completions/../../../health",
)  # fmt: skip
CONTROLS = (
    "/metrics", "/v1/load_lora_adapter", "/v1/chat/completions/../../load_lora_adapter", "/v1/chat/completions/metrics",
    "/v1/chat/completions/..%2f..%2f..%2fmetrics", "/sleep", "/v1/chat/completions%00",
)  # fmt: skip


@pytest.fixture(scope="module")
def trap(forebay: Forebay) -> Iterator[str]:
    """The address of a server that no client may reach."""
    container = {
        "name": TRAP,
        "image": "none",
        "command": [sys.executable, "-m", "http.server", str(PORT)],
        "readinessProbe": {"tcpSocket": {"port": PORT}},
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": TRAP, "namespace": "default"}}
    forebay.apply({**pod, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}})
    forebay.kubectl("wait", "pod", TRAP, "--for=condition=Ready", "--timeout=60s")
    yield f"{forebay.kubectl('get', 'pod', TRAP, '-o', 'jsonpath={.status.podIP}')}:{PORT}"
    forebay.kubectl("delete", "pod", TRAP)


@pytest.fixture(scope="module", autouse=True)
def engines(forebay: Forebay) -> Iterator[Mapping[str, str]]:
    """Two models that answer, and the addresses of their engines; a user to whom nothing is allowed."""
    forebay.serve(OWN, OTHER)
    forebay.admin("CreateUser", name=BLOCKED, rpm=0, tpm=0)
    query = ("get", "pod", "-o", "jsonpath={.items[0].status.podIP}", "-l")
    yield {model: forebay.kubectl(*query, f"model.aibrix.ai/name={model}") for model in (OWN, OTHER)}
    forebay.remove(OWN, OTHER)


def trapped(forebay: Forebay) -> str:
    return (forebay.cluster.folder / f"default_{TRAP}_{TRAP}.log").read_text()


def served_by(ip: str) -> int:
    """How many requests an engine has finished."""
    lines = httpx.get(f"http://{ip}:8000/metrics", trust_env=False).text.splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("vllm:request_success_total"))


@pytest.mark.parametrize("more", [{}, {"routing-strategy": ""}, {"routing-strategy": "random"}, {"model": OTHER}])
@pytest.mark.parametrize("name", DESTINATIONS)
def test_no_header_leads_to_another_address(forebay: Forebay, trap: str, name: str, more: Mapping[str, str]):
    answer = httpx.post(
        f"{forebay.url}/v1/chat/completions",
        json=chat(OWN, max_tokens=2),
        headers={name: trap, **more},
        trust_env=False,
    )

    assert 200 == answer.status_code
    assert answer.headers["target-pod"].startswith(OWN)
    assert OWN == answer.json()["model"]
    assert "POST" not in trapped(forebay)


@pytest.mark.parametrize("name", ["model", "Model", "MODEL", "mOdEl"])
@pytest.mark.parametrize("path", PATHS)
def test_no_path_and_no_model_header_leads_past_limits(
    forebay: Forebay, engines: Mapping[str, str], trap: str, path: str, name: str
):
    before = [served_by(ip) for ip in engines.values()]
    headers = {name: OTHER, "user": BLOCKED, "target-pod": trap, "x-gateway-destination-endpoint": trap}

    answer = raw(forebay, path, headers, chat(OWN, max_tokens=2))

    assert answer.status_code in {400, 404, 405, 429}, answer.text
    assert before == [served_by(ip) for ip in engines.values()]
    assert "POST" not in trapped(forebay)


@pytest.mark.parametrize("body", [chat(OWN), {"model": OTHER}, {}])
@pytest.mark.parametrize("path", CONTROLS)
def test_nothing_of_an_engine_but_the_api_is_reached(forebay: Forebay, path: str, body: dict[str, Any]):
    for method in ("GET", "POST"):
        answer = raw(forebay, path, {"model": OWN}, body, method)

        assert answer.status_code in {400, 404, 405}, (answer.status_code, answer.text)
        assert "vllm:" not in answer.text


def test_the_model_of_the_body_decides(forebay: Forebay):
    answers = [
        httpx.post(
            f"{forebay.url}/v1/chat/completions",
            json=chat(model, max_tokens=2),
            headers={"model": header},
            trust_env=False,
        )
        for model, header in ((OWN, OTHER), (OTHER, OWN))
    ]

    assert [OWN, OTHER] == [answer.json()["model"] for answer in answers]
    assert [True, True] == [
        answer.headers["target-pod"].startswith(model) for answer, model in zip(answers, (OWN, OTHER), strict=True)
    ]


def test_without_a_gateway_no_request_reaches_an_engine(forebay: Forebay, engines: Mapping[str, str]):
    before = [served_by(ip) for ip in engines.values()]
    gateways = "app.kubernetes.io/name=aibrix-gateway-plugins"
    scale = ("scale", "deployment/aibrix-gateway-plugins", "-n", NAMESPACE)
    forebay.kubectl(*scale, "--replicas=0")
    try:
        forebay.eventually(lambda: not forebay.pods(gateways, NAMESPACE))

        statuses = {raw(forebay, CHAT, {name: OWN}, chat(OWN)).status_code for name in ("model", "MODEL", "user")}

        assert statuses <= {404, 503}
        assert before == [served_by(ip) for ip in engines.values()]
    finally:
        forebay.kubectl(*scale, "--replicas=2")
        forebay.rolled_out("aibrix-gateway-plugins")
    forebay.answers(200, OWN)


def raw(
    forebay: Forebay, path: str, headers: Mapping[str, str], body: dict[str, Any], method: str = "POST"
) -> httpx.Response:
    """Send a request with exactly this path."""
    request = httpx.Request(method, forebay.url, json=body, headers=headers)
    request.url = httpx.URL(forebay.url, raw_path=path.encode())
    with httpx.Client(trust_env=False, timeout=60) as client:
        return client.send(request)
