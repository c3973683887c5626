"""A pool that is an API in the cloud, behind the real Envoy: own engines beside it, its key seen by nobody."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson
import pytest

from forebay.local.engines import MODEL
from tests.support.certificates import an_authority
from tests.support.provider import Answer, Provider, a_provider
from tests.support.stack import Stack, running_stack

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="makes the certificates")

KEY = "sk-cloud-0f1e2d3c4b5a"
CLIENTS_KEY = "sk-client-5a4b3c2d1e0f"
BIG, STRANGER, METERED = "big", "stranger", "metered"
"""Models that only the API has, only one whose certificate is of another authority, and only one with limits."""


@pytest.fixture(scope="module", params=["metadata", "ext_proc"])
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Provider]]:
    data = tmp_path_factory.mktemp("api")
    ca, other = an_authority(data), an_authority(data, "other")
    (data / "cloud.key").write_text(f"{KEY}\n")
    with a_provider(ca.sign("localhost")) as provider:
        config = f"""
response_mode: {request.param}
pools:
  - {{name: own, priority: 0, spill: {{max_in_flight: 1}}}}
  - name: cloud
    priority: 1
    api: {{url: "{provider.url}", key_file: cloud.key, ca: {ca.cert.name}, models: {{{MODEL}: gpt, {BIG}: gpt}}}}
  - name: forged
    priority: 2
    api: {{url: "{provider.url}", key_file: cloud.key, ca: {other.cert.name}, models: {{{STRANGER}: gpt}}}}
  - name: metered
    priority: 3
    api: {{url: "{provider.url}", key_file: cloud.key, ca: {ca.cert.name}, rpm: 2, models: {{{METERED}: gpt}}}}
"""
        with running_stack(data, config=config, engines=1) as stack:
            yield stack, provider


@pytest.fixture(autouse=True)
def _fresh(cloud: tuple[Stack, Provider]) -> Iterator[None]:
    yield
    cloud[1].answer = None
    cloud[1].sent.clear()


def chat(stack: Stack, user: str, **changes: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {CLIENTS_KEY}", "cookie": "session=1", "x-session-id": "s"}
    return stack.chat(user, headers=headers, **{"max_tokens": 5, **changes})


def test_the_api_answers_under_the_name_that_the_client_knows_and_its_usage_is_charged(cloud: tuple[Stack, Provider]):
    stack, provider = cloud
    user = stack.user()

    answer = chat(stack, user, model=BIG)
    stream = chat(stack, user, model=BIG, stream=True)

    assert (200, BIG, "cloud") == (answer.status_code, answer.json()["model"], answer.headers["target-pod"])
    events = [orjson.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: {")]
    assert {BIG} == {event["model"] for event in events}
    assert "data: [DONE]" in stream.text
    assert ["/openai/v1beta/chat/completions"] * 2 == [sent.path for sent in provider.sent]
    assert {"gpt"} == {sent.body["model"] for sent in provider.sent}
    assert {f"localhost:{provider.port}"} == {sent.headers["host"] for sent in provider.sent}
    stack.settled()
    requests, tokens = stack.usage(user)
    assert requests == 2
    assert tokens > 18  # that of the answer, and what the stream likely had


def test_the_key_is_seen_by_the_api_alone_and_the_api_sees_nothing_of_the_client(cloud: tuple[Stack, Provider]):
    stack, provider = cloud
    answers = [chat(stack, stack.user(), model=model) for model in (BIG, MODEL, STRANGER)]

    [sent] = provider.sent[:1]
    pages = [
        httpx.get(stack.variables[place] + path, trust_env=False, timeout=30).text
        for place, path in (("HTTP", "/metrics"), ("HTTP", "/debug/decisions"), ("HTTP", "/debug/endpoints"),
                            ("ENVOY_ADMIN", "/config_dump"), ("ENVOY_ADMIN", "/stats"), ("ENVOY_ADMIN", "/clusters"))
    ]  # fmt: skip
    written = [path for path in stack.data.rglob("*") if path.is_file() and path.name != "cloud.key"]
    told = [f"{answer.headers} {answer.text}" for answer in answers]

    assert f"Bearer {KEY}" == sent.headers["authorization"]
    assert {"user", "cookie", "x-session-id", "x-forwarded-for", "routing-strategy"}.isdisjoint(sent.headers)
    assert CLIENTS_KEY not in str(sent)
    assert not [name for name in sent.headers if name.startswith(("x-forebay", "x-envoy", "x-gateway", "target-pod"))]
    assert not [text for text in (*pages, *told, *stack.lines) if KEY in text]
    assert [] == [path for path in written if KEY.encode() in path.read_bytes()]
    account = ("x-ratelimit-remaining-requests", "openai-organization", "set-cookie")
    assert {"1", "org-ours", "a=b"}.isdisjoint(answers[0].headers.get(name) for name in account)


def test_a_certificate_of_another_authority_is_refused_before_anything_is_sent(cloud: tuple[Stack, Provider]):
    stack, provider = cloud

    answer = chat(stack, stack.user(), model=STRANGER)

    assert (503, "service_unavailable") == (answer.status_code, answer.json()["error"]["code"])
    assert "x-envoy-api-unreached" not in answer.headers
    assert [] == provider.sent


def test_a_web_page_in_place_of_an_answer_is_an_error_in_our_shape(cloud: tuple[Stack, Provider]):
    stack, provider = cloud
    provider.answer = Answer(200, b"<html>Sign in</html>", {"content-type": "text/html"})

    answer = chat(stack, stack.user(), model=BIG)

    assert (502, "bad_gateway") == (answer.status_code, answer.json()["error"]["code"])


def test_own_engines_take_over_what_the_api_does_not_answer(cloud: tuple[Stack, Provider]):
    stack, provider = cloud
    provider.answer = Answer(200, b"<html>Sign in</html>", {"content-type": "text/html"})
    user = stack.user()

    with ThreadPoolExecutor(6) as crowd:
        answers = list(crowd.map(lambda _: chat(stack, user), range(6)))

    assert [(200, "engine-1")] * 6 == [(answer.status_code, answer.headers["target-pod"]) for answer in answers]


@pytest.mark.parametrize(("status", "headers"), [(429, {"retry-after": "7"}), (500, {}), (400, {})])
def test_errors_of_the_api_are_passed_on_as_they_are(
    cloud: tuple[Stack, Provider], status: int, headers: dict[str, str]
):
    stack, provider = cloud
    body = b'{"error":{"message":"slow down","type":"their_type","code":"their_code"}}'
    provider.answer = Answer(status, body, {"content-type": "application/json", **headers})

    answer = chat(stack, stack.user(), model=BIG)

    assert (status, orjson.loads(body)) == (answer.status_code, answer.json())
    assert headers.get("retry-after") == answer.headers.get("retry-after")


def test_the_limits_of_an_api_hold_over_all_users(cloud: tuple[Stack, Provider]):
    stack, provider = cloud

    answers = [chat(stack, stack.user(), model=METERED) for _ in range(3)]

    assert [200, 200, 429] == [answer.status_code for answer in answers]
    assert "the API of pool metered has reached RPM: 2" == answers[2].json()["error"]["message"]
    assert 0 < int(answers[2].headers["retry-after"]) <= 60
    assert 2 == len(provider.sent)
