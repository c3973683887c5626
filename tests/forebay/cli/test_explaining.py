"""`forebay explain` on files as the debug pages show them."""

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from forebay.cli.main import main
from gateway.discovery.probing.readings import Readings
from gateway.fleet.decisions import pod_page
from gateway.fleet.fleet import Fleet
from gateway.observability.http import Json
from routing.pods.adapters import AdapterUse
from routing.selectors import parse_selector
from routing.table import STRATEGIES
from routing.types import RouteRequest, Signal
from tests.support.pods import MODEL, a_description, a_fleet, an_endpoint

NOW_S = 60.0


def a_used_fleet() -> Fleet:
    """Pods of known speed, one of them with work and a prompt."""
    fleet = a_fleet(*(an_endpoint(name) for name in "abc"))
    for kind in fleet._speeds.values():
        kind.known = True
    for turn in range(4):
        blocks = tuple(range(turn % 2 * 10 + 1, turn % 2 * 10 + 4))
        fleet.route(
            RouteRequest(MODEL, prompt_tokens=900, output_tokens=5, blocks=blocks, block_tokens=300), "forebay", NOW_S
        )
    for pod in fleet.pods():
        fleet.apply_readings(pod.endpoint.id, Readings({Signal.KV_USAGE: pod.in_flight / 10}), 0.0, fresh_until_s=NOW_S)
    return fleet


def explain(folder: Path, request: object, fleet: object, *options: str) -> Result:
    files = folder / "request.json", folder / "fleet.json"
    for file, value in zip(files, (request, fleet), strict=True):
        file.write_bytes(Json(value).body)
    return CliRunner().invoke(main, ["explain", str(files[0]), "--fleet", str(files[1]), *options])


def test_a_replayed_decision_has_the_same_scores(tmp_path: Path) -> None:
    fleet = a_used_fleet()
    pods = [pod_page(pod, NOW_S) for pod in fleet.pods()]
    blocks = (1, 2, 3)
    fleet.route(
        RouteRequest(MODEL, prompt_tokens=900, output_tokens=5, blocks=blocks, block_tokens=300), "forebay", NOW_S
    )
    entry = orjson.loads(Json(fleet.decisions.page()[0]).body)

    lines = explain(tmp_path, entry, pods).output.splitlines()

    assert lines[0].split() == [
        "pod",
        "score",
        "wait",
        "prefill",
        "eviction_cost",
        "decode_slowdown",
        "foreign",
        "held",
    ]
    assert [line.split()[:2] for line in lines[1:-1]] == [
        [row["pod"], f"{row['score']:.6g}"] for row in entry["candidates"]
    ]
    assert lines[-1].startswith(f"forebay chooses {entry['chosen']}: ")


@pytest.mark.parametrize("strategy", ["forebay", "session-affinity", "least-request:2,session-affinity"])
def test_filters_sessions_and_ramps_of_the_decision_are_replayed(tmp_path: Path, strategy: str) -> None:
    fleet = a_used_fleet()
    new = an_endpoint("new", models=(MODEL, "adapter"))
    sizes = {"a": "large", "b": "large", "c": "small"}
    pods = [an_endpoint(name, models=(MODEL, "adapter"), labels={"size": size}) for name, size in sizes.items()]
    fleet.replace(a_description(*pods, new), NOW_S - 5)
    fleet.apply_readings("b", Readings(adapters=AdapterUse(frozenset(["adapter"]))), NOW_S, fresh_until_s=NOW_S)
    request = RouteRequest("adapter", prompt_tokens=900, session="mine", selector=parse_selector("size=large"))
    for narrowed in (request, request._replace(selector=None)):
        pages = [pod_page(pod, NOW_S) for pod in fleet.pods()]
        fleet.route(narrowed, strategy, NOW_S)
        entry = orjson.loads(Json(fleet.decisions.page()[0]).body)
        lines = explain(tmp_path, entry, pages, "--strategy", strategy).output.splitlines()

        assert [line.split()[:2] for line in lines[1:-1]] == [
            [row["pod"], f"{row['score']:.6g}"] for row in entry["candidates"]
        ]


def test_a_made_up_request_considers_only_pods_that_take_requests(tmp_path: Path) -> None:
    fleet = a_used_fleet()
    fleet.set_draining("a", True)
    fleet.record_failed_attempt(an_endpoint("b").address, NOW_S)
    pages = [pod_page(pod, NOW_S) for pod in fleet.pods()]

    assert "chooses c:" in explain(tmp_path, {"model": MODEL, "prompt_tokens": 9}, pages).output
    assert "no pod that can serve m" in explain(tmp_path, {"model": MODEL, "prompt_tokens": 9}, pages[:2]).output


@pytest.mark.parametrize("strategy", [*sorted(STRATEGIES), "least-request:2,least-load"])
def test_every_strategy_can_be_explained(tmp_path: Path, strategy: str) -> None:
    pods = [pod_page(pod, NOW_S) for pod in a_used_fleet().pods()]
    result = explain(tmp_path, {"model": MODEL, "prompt_tokens": 100, "held": {"a": 50}}, pods, "--strategy", strategy)

    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) == 5


@pytest.mark.parametrize(
    ("request_", "fleet", "problem"),
    [
        ({"prompt_tokens": 1}, [{"models": [MODEL]}], "KeyError: 'model'"),
        ({"model": MODEL, "prompt_tokens": 1}, [], "no pod that can serve m"),
        ({"model": MODEL}, 7, "TypeError"),
    ],
)
def test_missing_fields_are_named(tmp_path: Path, request_: object, fleet: object, problem: str) -> None:
    result = explain(tmp_path, request_, fleet)

    assert (result.exit_code, problem in result.output) == (1, True), result.output


def test_an_unknown_strategy_and_a_broken_file_are_named(tmp_path: Path) -> None:
    assert "must be one of" in explain(tmp_path, {"model": MODEL, "prompt_tokens": 1}, [], "--strategy", "x").output
    (tmp_path / "broken.json").write_text("{")
    broken = str(tmp_path / "broken.json")
    assert "broken.json" in CliRunner().invoke(main, ["explain", broken, "--fleet", broken]).output
