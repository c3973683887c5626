"""How a request names its strategy: header, mixture, policy and selector, on four unequal engines."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from forebay.cli.main import main
from routing.table import STRATEGIES
from tests.support.stage import PICKS, Cast, always, words

PART = 512
"""Tokens of a quarter of a prompt: 2 blocks."""


@pytest.mark.parametrize(
    ("mixture", "pod"),
    [
        ("least-request:1,prefix-cache:1000", "l20"),  # which holds all of it and is the busiest
        ("least-request:2,prefix-cache", "a100"),  # which is best at neither
        ("prefix-cache,least-request:2", "a100"),
        ("least-request,prefix-cache:0", "h100"),  # which holds nothing and is idle
        ("least-request:7", "h100"),
    ],
)
def test_a_mixture_weighs_its_parts(cast: Cast, mixture: str, pod: str) -> None:
    prompt = words(4 * PART)
    cast.ask(pod="a100", prompt=prompt[: 3 * 4 * PART])
    cast.ask(pod="l20", prompt=prompt)
    cast.at_rest()

    with cast.holding(a100=1, l20=4, l4=2):
        assert always(pod) == cast.picks(mixture, prompt=prompt)
    assert all(re.search(r"weighted, 1 of 4 tied$", reason) for reason in cast.reasons)


def test_a_mixture_names_what_stands_in_for_each_part_and_its_metric_counts(cast: Cast) -> None:
    with cast.holding(a100=1, h100=1, l20=1):
        assert always("l4") == cast.picks("least-request:2,prefix-cache")

    assert all(reason.endswith(", fallback=no-blocks") for reason in cast.reasons)
    assert PICKS == cast.stack.figure("forebay_fallbacks_total", strategy="mixture", reason="no-blocks")


NO_STRATEGIES = (
    "fastest", "Least-Request", "least_request", "least-request:2,fastest", "least-request:-1", "least-request:1001",
    "least-request:1.5", "least-request:", "least-request:0", "least-request:0,random:0", "least-request,", ",", ":2",
    "least-request;random", "least-request, random", "random:1:2", "random:\u00b2", "random,least-request,random",
    "random," * 5000,
)  # fmt: skip


def test_what_is_no_strategy_is_refused_with_those_there_are_and_costs_nothing(cast: Cast) -> None:
    answers = {name: cast.ask(headers={"routing-strategy": name.encode()}) for name in NO_STRATEGIES}

    assert dict.fromkeys(answers, (400, "true")) == {
        name: (answer.status_code, answer.headers.get("x-error-invalid-routing-strategy"))
        for name, answer in answers.items()
    }
    for answer in answers.values():
        assert STRATEGIES.keys() <= set(re.findall(r"[a-z0-9-]+", answer.json()["error"]["message"]))
    cast.stack.uses(cast.user, 0, 0)


def test_an_empty_header_is_no_header(cast: Cast) -> None:
    answer = cast.ask(headers={"routing-strategy": ""})

    assert (200, "forebay") == (answer.status_code, answer.headers["routing-strategy"])


def test_a_models_policy_comes_before_the_default_and_after_the_header_unless_it_is_locked(cast: Cast) -> None:
    cast.describe(strategy="least-request")
    with cast.holding(a100=1, h100=1, l20=1):
        assert always("l4") == cast.picks()
        assert "session-affinity" == cast.ask("session-affinity").headers["routing-strategy"]

        cast.describe(strategy="least-request:2,random:0", locked=True)
        assert always("l4") == cast.picks(headers={"routing-strategy": "random"})
        answers = [cast.ask(headers={"routing-strategy": name}) for name in ("random", "no strategy", "")]

    assert [(200, "least-request:2,random:0")] * 3 == [
        (answer.status_code, answer.headers["routing-strategy"]) for answer in answers
    ]


SELECTED = {
    "gpu=l4": "l4",
    "gpu==a100": "a100",
    "memory=large": "h100",
    "memory!=small": "h100",
    "memory notin (small)": "h100",
    "gpu in (l20), memory=small": "l20",
    "gpu,memory=small,gpu notin (a100,l4)": "l20",
}


def test_a_selector_leaves_the_pods_with_its_labels(cast: Cast) -> None:
    with cast.holding(a100=2, h100=2, l20=2):
        answered = {selector: set(cast.picks("random", headers={"external-filter": selector})) for selector in SELECTED}

    assert {selector: {pod} for selector, pod in SELECTED.items()} == answered


def test_a_selector_narrows_what_the_strategy_chooses_from(cast: Cast) -> None:
    small = {"external-filter": "memory=small"}
    with cast.holding(a100=1, l20=2, l4=2):
        assert always("a100") == cast.picks("least-request", headers=small)

    assert {"1 in flight, 1 of 3 tied"} == set(cast.reasons)


def test_a_selector_that_is_none_is_400_and_one_that_matches_nothing_503(cast: Cast) -> None:
    expected = {"gpu in l4": 400, "=l4": 400, "gpu=a,,b": 400, "gpu=b200": 503, "!gpu": 503}
    answers = {selector: cast.ask(headers={"external-filter": selector}) for selector in expected}

    assert expected == {selector: answer.status_code for selector, answer in answers.items()}
    assert {"true"} == {answer.headers["x-error-no-model-backends"] for answer in answers.values()}
    assert [503, 503] == [answer.status_code for answer in answers.values() if "retry-after" in answer.headers]
    assert 200 == cast.ask(headers={"external-filter": ""}).status_code


def test_the_latest_decision_shows_every_candidate_and_can_be_explained_with_the_same_table(
    cast: Cast, tmp_path: Path
) -> None:
    asked = {"external-filter": "memory=small", "x-session-id": "mine"}
    mixture = "least-request:2,session-affinity"
    with cast.holding(a100=1, h100=1, l20=1):
        cast.picks(mixture, 1, headers=asked)
        latest = cast.decisions()[0]
        files = [tmp_path / "request.json", tmp_path / "fleet.json"]
        for file, page in zip(files, (latest, cast.states()), strict=True):
            file.write_text(json.dumps(page))
        explained = CliRunner().invoke(
            main, ["explain", str(files[0]), "--fleet", str(files[1]), "--strategy", mixture]
        )

    assert (mixture, f"{cast.model}-l4", cast.reasons[0]) == (latest["strategy"], latest["chosen"], latest["reason"])
    rows = [[str(row["pod"]), f"{row['score']:.6g}"] for row in latest["candidates"]]
    assert [f"{cast.model}-{pod}" for pod in ("a100", "l20", "l4")] == sorted(pod for pod, _ in rows)
    assert rows == [line.split()[:2] for line in explained.output.splitlines()[1:-1]], explained.output
