"""DIR/models.yaml edited while everything runs: routing and Envoy follow within seconds."""

from collections.abc import Iterator

import pytest
import yaml

from tests.support.own_engine import own_engine
from tests.support.stack import Stack
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def _as_before(stack: Stack) -> Iterator[None]:
    before = (stack.data / "models.yaml").read_text()
    yield
    stack.write_models(before)
    until(lambda: all(stack.routes_to(url.removeprefix("http://")) for url in stack.engines), limit_s=20)


def models(stack: Stack) -> list[str]:
    return [model["id"] for model in stack.users.get("/v1/models").json()["data"]]


def reloads(stack: Stack, outcome: str) -> float:
    return stack.figure("forebay_config_reloads_total", outcome=outcome)


def test_an_endpoint_that_is_added_answers_and_one_that_is_removed_answers_no_more(stack: Stack):
    user = stack.user()
    with own_engine() as first, own_engine() as second:
        stack.serve("pair", first.address)
        assert "pair" in models(stack)
        assert "pair-0" == stack.chat(user, model="pair").headers["target-pod"]

        stack.serve("pair", first.address, second.address)
        headers = {"routing-strategy": "random"}
        answered = {stack.chat(user, model="pair", headers=headers).headers["target-pod-ip"] for _ in range(24)}
        assert {first.address, second.address} == answered

        stack.write_models(yaml.safe_dump([model for model in stack.models() if model["name"] != "pair"]))
        until(lambda: "pair" not in models(stack) and not stack.envoy_knows(second.address), limit_s=20)
        gone = stack.chat(user, model="pair")
        assert (404, "model_not_found") == (gone.status_code, gone.json()["error"]["code"])
        assert 25 == len(first.received) + len(second.received)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- name: [", "models.yaml"),
        ("- {name: m, endpoints: [{address: no-address}]}", "address"),
        ("- {name: m, strategi: random}", "strategi"),
        ("just words", "list"),
        ("", "has no list of models"),
        ("models:", "has no list of models"),
    ],
    ids=["no YAML", "no address", "unknown key", "no list", "empty", "no value"],
)
def test_a_broken_file_keeps_the_old_set_and_says_why(stack: Stack, text: str, why: str):
    user, failures, said = stack.user(), reloads(stack, "failure"), len(stack.lines)
    log = stack.data / "logs" / "gateway-1.log"
    logged = log.stat().st_size

    stack.write_models(text)
    until(lambda: reloads(stack, "failure") > failures and len(stack.lines) > said, limit_s=20)

    assert 200 == stack.chat(user, max_tokens=1).status_code
    assert stack.model in models(stack)
    assert all(stack.envoy_knows(url.removeprefix("http://")) for url in stack.engines)
    [line] = stack.lines[said:]
    assert "models.yaml is not used, the endpoints stay as they were" in line
    assert why in line
    assert "models_file_rejected" in log.read_text()[logged:]


def test_a_known_model_without_a_pod_is_a_503_that_says_when_to_come_back(stack: Stack):
    user = stack.user()
    stack.serve("empty")
    until(lambda: "empty" in models(stack), limit_s=20)

    answer = stack.chat(user, model="empty")

    assert (503, "service_unavailable") == (answer.status_code, answer.json()["error"]["code"])
    assert int(answer.headers["retry-after"]) >= 1
    assert "true" == answer.headers["x-error-no-model-backends"]
    stack.uses(user, 0, 0)


def test_requests_in_flight_outlive_their_endpoint(stack: Stack):
    user = stack.user()
    with stack.stream(user, max_tokens=150) as answer:
        lines = answer.iter_lines()
        next(lines)
        stack.write_models(yaml.safe_dump([{"name": "other", "endpoints": []}]))
        until(lambda: models(stack) == ["other"], limit_s=20)
        told = list(lines)

    assert "data: [DONE]" == told[-2]
    stack.uses(user, 1, 12 + 150)
