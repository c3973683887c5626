"""The first steps of a user, as printed: curl, headers, limits, streams."""

import re
import shutil
import subprocess
import time

import httpx
import pytest

from routing.table import STRATEGIES
from tests.support.raw_http import RawAnswer
from tests.support.recordings import recorded_body
from tests.support.shapes import events, runs, shape
from tests.support.stack import Stack, on, on_all

LIMIT_HEADERS = {
    "x-ratelimit-limit-requests": r"3",
    "x-ratelimit-remaining-requests": r"2",
    "x-ratelimit-reset-requests": r"(1m)?[\d.]+m?s",
    "x-ratelimit-limit-tokens": r"1000",
    "x-ratelimit-remaining-tokens": r"\d+",
    "x-ratelimit-reset-tokens": r"(1m)?[\d.]+m?s",
    "ratelimit-policy": r'"rpm";q=3;w=60, "tpm";q=1000;w=60',
    "ratelimit": r'"rpm";r=2;t=\d+, "tpm";r=\d+;t=\d+',
    "x-update-rpm": r"1",
    "x-update-tpm": r"\d+",
}


def printed_commands(stack: Stack) -> tuple[str, str]:
    """The two commands under `Try it:`."""
    text = "\n".join(stack.lines).partition("Try it:\n")[2].replace("\\\n", " ")
    create, chat = [line.strip() for line in text.splitlines() if line.strip().startswith("curl ")]
    return create, chat


def in_a_shell(command: str) -> RawAnswer:
    """Run a printed command, with `-i` to see the headers."""
    shown = command.replace("curl ", "curl -sS -i ", 1)
    ran = subprocess.run(["sh", "-c", shown], capture_output=True, check=True, env={"no_proxy": "*"}, timeout=60)
    head, _, body = ran.stdout.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return RawAnswer(int(status.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body)


@on_all
@pytest.mark.skipif(not shutil.which("curl"), reason="the commands are printed for curl")
def test_the_two_commands_work_as_printed_and_the_fourth_call_is_refused(stack: Stack):
    create, chat = printed_commands(stack)

    created = in_a_shell(create)
    answers = [in_a_shell(chat) for _ in range(4)]

    assert {"message": "Created User: lgy", "user": {"name": "lgy", "rpm": 3, "tpm": 1000}} == created.json
    assert [200, 200, 200, 429] == [answer.status for answer in answers]
    first, refused = answers[0], answers[3]
    assert stack.model == first.json["model"]
    assert first.headers["target-pod"] in {"engine-1", "engine-2"}
    assert f"http://{first.headers['target-pod-ip']}" in stack.engines
    assert "forebay" == first.headers["routing-strategy"]
    assert re.search(r"\b0 of \d+ tokens held", first.headers["x-forebay-decision"])
    assert first.headers["x-request-id"] == first.headers["request-id"]
    assert {} == {n: first.headers.get(n) for n, p in LIMIT_HEADERS.items() if not re.fullmatch(p, first.headers[n])}
    error = {"message": "user: lgy has exceeded RPM: 3", "type": "rate_limit_error", "code": "rate_limit_exceeded",
             "param": None}  # fmt: skip
    assert {"error": error} == refused.json
    assert "true" == refused.headers["x-error-rpm-exceeded"]
    assert "0" == refused.headers["x-ratelimit-remaining-requests"]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert LIMIT_HEADERS.keys() <= refused.headers.keys()

    used = sum(answer.json["usage"]["total_tokens"] for answer in answers[:3])
    stack.uses("lgy", 3, used)
    record = stack.admin("/users/lgy/usage").json()
    assert {"name": "lgy", "requests": 3, "tokens": used, "rpm": 3, "tpm": 1000, "window_s": 60} == record


@on_all
def test_a_stream_comes_as_it_is_made_and_its_events_are_the_recorded_ones(stack: Stack):
    user, arrived = stack.user(), []

    with stack.stream(user, max_tokens=20, stream_options={"include_usage": True}) as answer:
        pieces = [piece for piece in answer.iter_raw() if not arrived.append(time.monotonic())]

    assert 200 == answer.status_code
    assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
    assert {"target-pod", "routing-strategy", "x-forebay-decision", *LIMIT_HEADERS} <= answer.headers.keys()
    # 19 gaps of 8 ms each at the engine; were it held back, all would come at once.
    assert len(pieces) > 10
    assert arrived[-1] - arrived[0] > 0.08
    told = events(b"".join(pieces))
    assert shape_of_stream(recorded_body("chat_stream_usage.http")) == shape_of_stream(b"".join(pieces))
    stack.uses(user, 1, told[-2]["usage"]["total_tokens"])
    assert 20 == told[-2]["usage"]["completion_tokens"]


def shape_of_stream(body: bytes) -> list[object]:
    """Shapes of its events in order; the text pieces in the middle count as one."""
    return runs([shape(event) for event in events(body)])


@on("http2-metadata", "http2-ext_proc")
def test_a_request_without_a_user_is_served_without_limits(stack: Stack):
    answer = stack.users.post("/v1/chat/completions", json=stack.body())

    assert 200 == answer.status_code
    assert not [name for name in answer.headers if "ratelimit" in name or name.startswith("x-update")]
    assert answer.headers["target-pod"]


@on("http2-metadata", "http2-ext_proc")
def test_a_users_own_request_id_and_session_come_back(stack: Stack):
    answer = stack.chat(stack.user(), headers={"x-request-id": "mine-1", "x-session-id": "s-7"})

    names = ("x-request-id", "request-id", "x-session-id")
    assert ["mine-1", "mine-1", "s-7"] == [answer.headers[name] for name in names]
    assert "chatcmpl-mine-1" == answer.json()["id"]


def test_tokens_over_the_limit_are_refused_and_those_that_fit_are_not(stack: Stack):
    user = stack.user(rpm=10, tpm=200)

    first = stack.chat(user, max_tokens=120)
    refused = stack.chat(user, max_tokens=120)
    small = stack.chat(user, max_tokens=2)

    assert (429, "true") == (refused.status_code, refused.headers["x-error-tpm-exceeded"])
    assert f"user: {user} has exceeded TPM: 200" == refused.json()["error"]["message"]
    assert [200, 200] == [first.status_code, small.status_code]
    stack.uses(user, 2, sum(answer.json()["usage"]["total_tokens"] for answer in (first, small)))


def test_no_request_at_all_is_allowed_at_a_limit_of_zero_and_no_time_is_named(stack: Stack):
    user = stack.user(rpm=0, tpm=1000)

    refused = stack.chat(user)

    assert (429, None) == (refused.status_code, refused.headers.get("retry-after"))
    assert f"user: {user} has exceeded RPM: 0" == refused.json()["error"]["message"]


def test_a_strategy_is_chosen_by_header_and_an_unknown_one_is_refused(stack: Stack):
    user = stack.user()

    chosen = stack.chat(user, headers={"routing-strategy": "random"})
    unknown = stack.chat(user, headers={"routing-strategy": "psychic"})

    assert (200, "random") == (chosen.status_code, chosen.headers["routing-strategy"])
    assert (400, "true") == (unknown.status_code, unknown.headers["x-error-invalid-routing-strategy"])
    assert {"random", "least-request"} <= set(re.findall(r"[a-z-]+", unknown.json()["error"]["message"]))
    stack.uses(user, 1, chosen.json()["usage"]["total_tokens"])


def test_every_strategy_can_be_named_by_header_and_says_what_it_did(stack: Stack):
    user = stack.user()
    answers = {name: stack.chat(user, headers={"routing-strategy": name}) for name in [*STRATEGIES, "random:2,forebay"]}

    assert {name: (200, name) for name in answers} == {
        name: (answer.status_code, answer.headers["routing-strategy"]) for name, answer in answers.items()
    }
    stack.settled()
    page = httpx.get(stack.variables["HTTP"] + "/debug/decisions", trust_env=False).json()
    assert {"forebay", "random:2,forebay"} <= {entry["strategy"] for entry in page}


def test_a_long_prompt_goes_back_to_the_pod_that_has_computed_it(stack: Stack):
    user, headers = stack.user(), {"routing-strategy": "prefix-cache"}
    prompts = [f"{number} " + "water turns the wheel " * 40 for number in range(6)]
    first, again = (
        [
            stack.chat(user, messages=[{"role": "user", "content": prompt}], headers=headers).headers["target-pod"]
            for prompt in prompts
        ]
        for _ in range(2)
    )

    assert first == again
    stack.settled()  # what comes after it counts tokens
