"""`forebay simulate --autoscale`: autoscalers on short patterns and small engines, in virtual time."""

import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
import yaml
from click.testing import CliRunner, Result

from autoscaling.autoscaler import autoscaler
from forebay.cli.autoscale_option import Bounds, spec_of
from forebay.cli.main import main
from forebay.simulation.autoscale_loop import Loop, Scenario
from gateway.config.pools import PoolSettings
from simulator.core.gpus import gpu_profile, resized
from simulator.replay.patterns import TokenRange, generate, parse_pattern
from simulator.replay.summary import Slo
from tests.support.kubernetes.autoscalers import ARTICLE

RAMP = ["--pattern", "3x20,15x30,1x30", "--input-tokens", 500, "--output-tokens", 60, "--max-running", 4]
"""One engine is full at about 7 requests per second."""
KPA = "KPA:metric=in_flight,target=3,scale-down-delay=0s,stable-window=10s,panic-window=2s"


def simulate(*arguments: object, startup_s: float = 10) -> Result:
    options = ["--slo-ttft", 1, "--slo-itl", 0.1, "--startup-s", startup_s]
    return CliRunner().invoke(main, ["simulate", *map(str, [*options, *arguments])])


def rows(result: Result) -> dict[str, dict[str, str]]:
    """The cells of the first table by the names of row and column."""
    assert 0 == result.exit_code, result.stderr
    lines = [re.split(r"\s{2,}", line.strip()) for line in result.stdout.split("\n\n")[0].splitlines()[1:]]
    heading, *body = lines
    return {name: dict(zip(heading, cells, strict=True)) for name, *cells in body}


def test_a_constant_number_costs_its_replicas_for_the_whole_time():
    row = rows(simulate("--autoscale", "static:3", *RAMP))["static:3"]

    assert ("3.00", "3", "240", "0", "0") == (
        row["replicas, mean"], row["highest"], row["replica-seconds"], row["refused"], row["changes"],
    )  # fmt: skip


def test_an_autoscaler_is_late_by_the_start_up_time_and_then_cheaper():
    slow, quick = (rows(simulate("--autoscale", KPA, *RAMP, startup_s=at))[KPA] for at in (20, 1))

    assert 1 < float(quick["replicas, mean"]) < 2
    assert float(slow["in SLO"].rstrip("%")) < 50
    assert float(quick["in SLO"].rstrip("%")) > 95
    assert "0" == slow["refused"] == quick["refused"]  # replicas that drain lose nothing


@pytest.mark.parametrize("strategy", ["apa", "kpa"])
def test_the_articles_objects_follow_the_kv_cache_as_printed(strategy: str):
    [object_] = [path for path in ARTICLE if path.stem == strategy]
    small = ["--pattern", "1x40,12x80,1x80", "--input-tokens", 500, "--output-tokens", 60, "--kv-blocks", 160]
    row = rows(simulate("--autoscale", object_, *small, startup_s=5))[str(object_)]

    assert int(row["highest"]) > 2 and int(row["changes"]) > 1
    assert float(row["replicas, mean"]) < int(row["highest"]) - 0.3


POOLS = """
pools:
  - {name: own, priority: 0, cap: 1, spill: {max_in_flight: 4}}
  - {name: cloud, priority: 1, cap: 2, cost_per_hour: 2, provisioning_delay_s: 10, spill: {max_in_flight: 4}}
"""


def test_pools_are_filled_in_order_and_only_what_has_a_price_is_paid(tmp_path: Path):
    (tmp_path / "pools.yaml").write_text(POOLS)
    pools = ["--pools", tmp_path / "pools.yaml"]
    hpa = "HPA:metric=in_flight,target=2,scale-down-delay=10s"
    one, three, scaled = rows(simulate("--autoscale", f"static:1,static:3,{hpa}", *pools, *RAMP)).values()

    assert ("0.000", "0.044") == (one["paid hours"], three["paid hours"])  # two replicas in a cloud for 80 s
    assert 1 < int(scaled["highest"])
    assert 0.0 < float(scaled["paid hours"]) < float(three["paid hours"])
    assert float(one["in SLO"].rstrip("%")) < float(scaled["in SLO"].rstrip("%"))


def test_the_cloud_goes_first_when_the_load_has_gone():
    pools = tuple(PoolSettings.model_validate(each) for each in yaml.safe_load(POOLS)["pools"])
    trace = generate(parse_pattern("15x30,1x60"), TokenRange(500, 500), TokenRange(60, 60), Random(0), is_even=True)
    profile = resized(gpu_profile("published-fit"), max_running=4)
    scenario = Scenario("", trace, 90.0, profile, 5.0, Slo(1.0, 0.1), "least-request", 0, pools)
    hpa = autoscaler(spec_of("HPA:metric=in_flight,target=2,scale-down-delay=10s", Bounds(1, 3, 1.0, 0.1)))

    replicas = Loop(scenario, hpa, 1).run(lambda _: None).replicas

    assert ["own", "cloud", "cloud"] == [each.endpoint.pool for each in replicas]
    assert [False, True, True] == [each.ended_s < 90.0 for each in replicas]
    assert all(each.served_s == each.ordered_s + 10.0 for each in replicas[1:])


@pytest.mark.parametrize(
    ("text", "why"),
    [("{}", "has no pools"), ("pools: [{name: a, priority: 0}, {name: b, priority: 0}]", "must be unique")],
)
def test_pools_that_are_no_pools_are_refused(tmp_path: Path, text: str, why: str):
    (tmp_path / "pools.yaml").write_text(text)
    result = simulate("--autoscale", "static:1", "--pools", tmp_path / "pools.yaml", *RAMP)

    assert (1, True) == (result.exit_code, why in result.stderr)


def test_the_best_constant_number_is_the_smallest_that_keeps_the_promise():
    constant = rows(simulate("--autoscale", "static:1,static:2,static:3,best-static", *RAMP))
    kept = [name for name, row in constant.items() if row["in SLO"] == "100.00%"]

    assert ["static:2", "static:3", "best-static (2)"] == kept


def test_the_best_constant_number_is_the_largest_where_none_keeps_the_promise():
    assert ["best-static (1)"] == list(rows(simulate("--autoscale", "best-static", "--max", 1, *RAMP)))


def test_the_same_seed_gives_the_same_result():
    def shown(seed: int) -> str:
        return simulate("--autoscale", KPA, "--arrivals", "poisson", "--seed", seed, *RAMP).stdout

    assert shown(1) == shown(1)
    assert shown(1) != shown(2)


def test_forebays_own_routing_refuses_what_would_be_late():
    row = rows(simulate("--autoscale", "static:1", "--strategy", "forebay", *RAMP))["static:1"]

    assert int(row["refused"]) > 0


def test_a_trace_and_shapes_are_traffic_too(tmp_path: Path):
    file = tmp_path / "trace.jsonl"
    file.write_text("\n".join(f'{{"timestamp": {at * 500}, "input_length": 9, "output_length": 2}}' for at in range(9)))
    result = simulate("--autoscale", "static:1", "--trace", file, "--pattern", "1x5")

    assert 0 == result.exit_code, result.stderr
    assert "trace.jsonl: 9 requests in 4 s" in result.stdout
    assert "1x5: 5 requests in 5 s" in result.stdout


def test_a_podautoscaler_in_a_file_has_bounds_of_its_own(tmp_path: Path):
    file = tmp_path / "own.yaml"
    file.write_text("""
kind: PodAutoscaler
spec:
  scaleTargetRef: {kind: Deployment, name: engines}
  minReplicas: 4
  maxReplicas: 4
  scalingStrategy: APA
  metricsSources:
    - {metricSourceType: pod, protocolType: http, port: '8000', path: /metrics,
       targetMetric: gpu_cache_usage_perc, targetValue: '50'}
""")
    row = rows(simulate("--autoscale", file, *RAMP))[str(file)]

    assert ("4.00", "4") == (row["replicas, mean"], row["highest"])


def test_the_report_has_a_picture_for_each_pattern(tmp_path: Path):
    result = simulate("--autoscale", f"static:2,{KPA}", *RAMP, "--pattern", "1x20", "--report", tmp_path / "new")
    page = (tmp_path / "new" / "index.html").read_text()

    assert 0 == result.exit_code, result.stderr
    assert ["autoscale-0.png", "autoscale-1.png"] == sorted(each.name for each in tmp_path.glob("new/*.png"))
    assert all(f"autoscale-{number}.png" in page for number in range(2))


def test_without_matplotlib_a_report_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = simulate("--autoscale", "static:2", *RAMP, "--report", tmp_path / "new")

    assert (1, True) == (result.exit_code, "forebay[simulate]" in result.stderr)


def test_kube_is_not_imported():
    """But for the word of its errors, which the command line knows for every command."""
    script = (
        "import sys, click.testing, forebay.cli.main as cli\n"
        "done = click.testing.CliRunner().invoke(cli.main, ['simulate', '--autoscale', 'KPA', '--pattern', '1x5'])\n"
        "assert done.exit_code == 0, done.output\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('kube', 'lightkube', 'controllers')])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)

    assert "['kube', 'kube.errors']" == done.stdout.strip()
