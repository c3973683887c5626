"""The article's objects and calls for users, limits and routing, applied as printed, one by one, through Envoy Gateway.

Its adapter and its autoscalers: test_adapters.py, test_podautoscaler.py.  Its fleet of Ray and its KV cache come with
their controllers.
"""

import json
from collections.abc import Iterator

import pytest

from routing.table import STRATEGIES
from tests.support.kubernetes.article import MODEL, SAMPLES, chat, deployment
from tests.support.kubernetes.installed import DEPLOYMENTS, Forebay

ROUTE = f"httproute/{MODEL}-router"
USER = {"name": "lgy", "rpm": 100, "tpm": 1000}
SERVICES = {
    "aibrix-controller-manager-metrics-service": "8080/TCP",
    "aibrix-gateway-plugins": "50052/TCP,8080/TCP",
    "aibrix-gpu-optimizer": "8080/TCP",
    "aibrix-metadata-service": "8090:32004/TCP",
    "aibrix-metrics-api": "443/TCP",
    "aibrix-redis-master": "6379/TCP",
}


def route_exists(forebay: Forebay) -> bool:
    return ROUTE.partition("/")[2] in forebay.kubectl("get", "httproute", "-n", "aibrix-system", "-o", "name")


@pytest.fixture(scope="module")
def served(forebay: Forebay) -> Iterator[str]:
    """The name of the pod of the article's Deployment, once it answers."""
    forebay.kubectl("apply", "-f", SAMPLES / "model.yaml")
    forebay.answers(200)
    (pod,) = forebay.pods(f"model.aibrix.ai/name={MODEL}")
    yield pod
    forebay.remove(MODEL)


def test_the_roles_run(forebay: Forebay):
    pods = forebay.kubectl("get", "po", "-n", "aibrix-system", "--no-headers").splitlines()

    for role in DEPLOYMENTS:
        states = [line.split()[1:3] for line in pods if line.startswith(role)]
        assert states and all(state == ["1/1", "Running"] for state in states), pods


def test_the_services_have_their_ports(forebay: Forebay):
    lines = forebay.kubectl("get", "svc", "-n", "aibrix-system", "--no-headers").splitlines()

    assert SERVICES == {line.split()[0]: line.split()[4] for line in lines}


def test_the_gateway_is_programmed(forebay: Forebay):
    (line,) = forebay.kubectl("get", "gateway", "-n", "aibrix-system", "--no-headers").splitlines()

    name, of_class, address, is_programmed = line.split()[:4]
    assert ("aibrix-eg", "aibrix-eg", "True") == (name, of_class, is_programmed)
    assert address in forebay.url


def test_a_user_is_created_once_and_read(forebay: Forebay):
    created, again, read = (forebay.admin(call, **USER) for call in ("CreateUser", "CreateUser", "ReadUser"))

    assert [200, 200, 200] == [answer.status_code for answer in (created, again, read)]
    said = [answer.json()["message"] for answer in (created, again, read)]
    assert ["Created User: lgy", "User: lgy exists", "User: lgy"] == said
    assert USER.items() <= read.json()["user"].items()


def test_an_update_of_somebody_else_finds_nobody(forebay: Forebay):
    answer = forebay.admin("UpdateUser", name="lgs", rpm=3, tpm=1000)

    assert (404, "User: lgs does not exist") == (answer.status_code, answer.json()["message"])


def test_a_deployment_without_a_ready_pod_is_a_known_model(forebay: Forebay):
    unready = deployment("unready")
    unready["spec"]["template"]["spec"]["containers"][0]["command"] = ["sleep", "600"]
    forebay.apply(unready)

    answer = forebay.answers(503, "unready")

    assert "true" == answer.headers["x-error-no-model-backends"]
    assert "service_unavailable" == answer.json()["error"]["code"]
    assert 1 <= int(answer.headers["retry-after"])
    forebay.kubectl("delete", "deployment", "unready")


def test_a_deployment_gets_a_route_to_the_service_of_its_name(forebay: Forebay, served: str):
    found = json.loads(forebay.kubectl("get", ROUTE, "-n", "aibrix-system", "-o", "json"))

    backends = [ref for rule in found["spec"]["rules"] for ref in rule["backendRefs"]]
    assert {(MODEL, "default", 8000)} == {(ref["name"], ref["namespace"], ref["port"]) for ref in backends}
    assert ["aibrix-eg"] == [ref["name"] for ref in found["spec"]["parentRefs"]]
    conditions = found["status"]["parents"][0]["conditions"]
    assert {"Accepted": "True", "ResolvedRefs": "True"} == {one["type"]: one["status"] for one in conditions}
    names = forebay.kubectl("get", "httproute", "-n", "aibrix-system", "-o", "name").split()
    assert "httproute.gateway.networking.k8s.io/aibrix-reserved-router" in names


def test_the_curl_is_answered_and_counted(forebay: Forebay, served: str):
    forebay.admin("CreateUser", name="curl", rpm=100, tpm=100000)

    first = forebay.ask("curl")
    used = first.json()["usage"]["total_tokens"]
    forebay.eventually(lambda: forebay.usage("curl")["tokens"] == used)  # until then it counts as what was reserved
    second = forebay.ask("curl")

    assert [200, 200] == [first.status_code, second.status_code]
    assert MODEL == first.json()["model"]
    assert served == first.headers["target-pod"]
    assert ["1", "2"] == [answer.headers["x-update-rpm"] for answer in (first, second)]
    assert used < int(second.headers["x-update-tpm"])
    assert ("100", "98") == tuple(second.headers[f"x-ratelimit-{one}-requests"] for one in ("limit", "remaining"))
    used += second.json()["usage"]["total_tokens"]
    forebay.eventually(lambda: forebay.usage("curl")["tokens"] == used)


def test_a_stream_is_charged_what_it_used(forebay: Forebay, served: str):
    forebay.admin("CreateUser", name="streams", rpm=100, tpm=100000)
    body = chat(stream=True, stream_options={"include_usage": True}, max_tokens=20)

    answer = forebay.ask("streams", body)

    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert (200, "[DONE]") == (answer.status_code, events[-1])
    used = json.loads(events[-2])["usage"]["total_tokens"]
    forebay.eventually(lambda: forebay.usage("streams") | {"requests": 1, "tokens": used} == forebay.usage("streams"))


def test_an_unknown_model_is_named(forebay: Forebay, served: str):
    answer = forebay.ask(body=chat("nobody-serves-this"))

    assert (404, "true") == (answer.status_code, answer.headers["x-error-no-model-backends"])
    assert "model_not_found" == answer.json()["error"]["code"]
    assert MODEL in answer.json()["error"]["message"]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_is_chosen_by_its_header(forebay: Forebay, served: str, strategy: str):
    answer = forebay.ask(body=chat(max_tokens=2), routing_strategy=strategy)

    assert (200, served) == (answer.status_code, answer.headers["target-pod"])
    assert strategy == answer.headers["routing-strategy"]


def test_an_unknown_strategy_is_refused(forebay: Forebay, served: str):
    answer = forebay.ask(routing_strategy="fastest")

    assert (400, "true") == (answer.status_code, answer.headers["x-error-invalid-routing-strategy"])


def test_an_update_binds_the_next_request_and_a_refusal_costs_nothing(forebay: Forebay, served: str):
    forebay.admin("CreateUser", name="lgx", rpm=100, tpm=100000)
    assert "100" == forebay.ask("lgx").headers["x-ratelimit-limit-requests"]

    assert "Updated User: lgx" == forebay.admin("UpdateUser", name="lgx", rpm=3, tpm=100000).json()["message"]
    answers = [forebay.ask("lgx") for _ in range(4)]

    assert [200, 200, 429, 429] == [answer.status_code for answer in answers]
    refused = answers[-1]
    assert "user: lgx has exceeded RPM: 3" == refused.json()["error"]["message"]
    assert "true" == refused.headers["x-error-rpm-exceeded"]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert 3 == forebay.usage("lgx")["requests"]


def test_tokens_are_limited_too(forebay: Forebay, served: str):
    forebay.admin("CreateUser", name="short", rpm=100, tpm=100)

    answers = [forebay.ask("short") for _ in range(4)]

    assert (200, 429) == (answers[0].status_code, answers[-1].status_code)
    assert "true" == answers[-1].headers["x-error-tpm-exceeded"]
    assert "user: short has exceeded TPM: 100" == answers[-1].json()["error"]["message"]


def test_a_deleted_user_is_unknown(forebay: Forebay, served: str):
    forebay.admin("CreateUser", name="gone", rpm=3, tpm=1000)

    assert "Deleted User: gone" == forebay.admin("DeleteUser", name="gone").json()["message"]

    answer = forebay.ask("gone")
    assert (401, "true") == (answer.status_code, answer.headers["x-error-user"])


def test_a_route_of_the_users_own_is_left_alone(forebay: Forebay, served: str):
    model = "qwen-coder-7b-instruct"
    head = deployment(model)  # as a fleet of Ray makes them: pods are labelled, what makes them is not
    del head["metadata"]["labels"]
    head["spec"]["template"]["metadata"]["labels"]["ray.io/node-type"] = "head"
    forebay.apply(head)
    forebay.kubectl("apply", "-f", SAMPLES / "route.yaml")
    query = ("get", "httproute", f"{model}-router", "-n", "aibrix-system", "-o", "jsonpath={.spec}")
    applied = forebay.kubectl(*query)

    answer = forebay.answers(200, model)

    assert answer.headers["target-pod"].startswith(model)
    assert applied == forebay.kubectl(*query)
    forebay.kubectl("delete", "-f", SAMPLES / "route.yaml")
    forebay.kubectl("delete", "deployment", model)


def test_without_its_deployment_a_model_has_no_route(forebay: Forebay, served: str):
    forebay.kubectl("delete", "deployment", MODEL)

    forebay.eventually(lambda: not route_exists(forebay))
    forebay.eventually(lambda: forebay.ask().status_code in {404, 503})  # the latter where it was the last model


def test_no_account_lacks_a_right(forebay: Forebay, served: str):
    logs = forebay.cluster.folder.glob("aibrix-system_*.log")

    lines = [line for log in logs for line in log.read_text().splitlines()]

    assert lines
    assert [] == [line for line in lines if "forbidden" in line.lower()]
