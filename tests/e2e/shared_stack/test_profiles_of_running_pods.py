"""`forebay profile --from-live`: what the gateway has learned of a pod becomes a profile."""

import json

import httpx

from optimizer.profiles.profile import parse_profile
from tests.support.command import run
from tests.support.stack import Stack


def speeds(stack: Stack) -> dict[str, dict[str, float]]:
    pods = httpx.get(stack.variables["HTTP"] + "/debug/fleet", trust_env=False).json()
    return {pod["pod"]: pod["speed"] for pod in pods if pod["address"] in "".join(stack.engines)}


def test_a_pod_that_serves_has_a_profile(stack: Stack):
    user = stack.user(rpm=10_000, tpm=10_000_000)
    for number in range(40):
        assert 200 == stack.chat(user, max_tokens=1 + number % 8).status_code
    stack.settled()
    name, speed = max(speeds(stack).items(), key=lambda pair: pair[1]["known"])

    result = run(
        "profile", name, "--from-live", stack.variables["HTTP"], "--watch", "0", "--ttft", "2", "--itl", "0.5",
        "--input-limit", "256", "--output-limit", "64",
    )  # fmt: skip

    assert 0 == result.exit_code, result.output
    page = json.loads(result.stdout)
    profile = parse_profile(result.stdout)
    assert (name, "forebay profile --from-live") == (profile.deployment, page["source"]["by"])
    at_once = page["fit"]["max_batch"]
    alone_s = speed["fixed_s"] + speed["token_s"] * 64 + speed["output_s"] * 64
    assert 0 < profile.at(64, 64).rate <= 1.2 * at_once / alone_s
