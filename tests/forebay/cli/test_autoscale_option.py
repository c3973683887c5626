"""The option `--autoscale`: words and files become the same specifications."""

from pathlib import Path

import pytest

from autoscaling.spec import StrategyName
from forebay.cli.autoscale_option import Bounds, spec_of, split

BOUNDS = Bounds(least=2, most=8, slo_ttft_s=3.0, slo_itl_s=0.1)

KPA_FILE = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: engines}
---
apiVersion: autoscaling.aibrix.ai/v1alpha1
kind: PodAutoscaler
metadata:
  name: engines
  annotations: {kpa.autoscaling.aibrix.ai/stable-window: 30s}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: engines}
  minReplicas: 2
  maxReplicas: 8
  scalingStrategy: KPA
  metricsSources:
    - {metricSourceType: pod, protocolType: http, port: '8000', path: /metrics,
       targetMetric: 'vllm:num_requests_running', targetValue: '12.5'}
"""


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        (("KPA,APA",), ["KPA", "APA"]),
        (("KPA:target=10,metric=running,SLO,static:7",), ["KPA:target=10,metric=running", "SLO", "static:7"]),
        (("SLO", "own.yaml,HPA:target=5"), ["SLO", "own.yaml", "HPA:target=5"]),
        (("KPA:target=5,HPA:metric=waiting,target=1",), ["KPA:target=5", "HPA:metric=waiting,target=1"]),
    ],
)
def test_several_strategies_are_told_apart(values: tuple[str, ...], parts: list[str]):
    assert parts == split(values)


def test_a_name_alone_has_the_bounds_and_a_default_metric():
    spec = spec_of("kpa", BOUNDS)

    assert (StrategyName.KPA, 2, 8) == (spec.strategy, spec.least, spec.most)
    assert [("vllm:num_requests_running", 10.0)] == [(each.metric, each.target) for each in spec.sources]


def test_words_and_a_file_mean_the_same(tmp_path: Path):
    file = tmp_path / "kpa.yaml"
    file.write_text(KPA_FILE)

    assert spec_of(str(file), BOUNDS) == spec_of("KPA:target=12.5,stable-window=30s", BOUNDS)


def test_slo_has_the_promise_of_the_command_unless_it_names_its_own():
    default, own = spec_of("SLO", BOUNDS), spec_of("SLO:slo-ttft=1500ms", BOUNDS)

    assert (3.0, 0.1) == (default.slo_ttft_s, default.slo_itl_s)
    assert (1.5, 0.1) == (own.slo_ttft_s, own.slo_itl_s)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be NAME"),
        ("MPA", "must be NAME.* with NAME one of HPA, KPA, APA, SLO"),
        ("KPA:", "must be NAME"),
        ("KPA:target", "'target' must be key=value"),
        ("KPA:target=0", "targetValue = 0, must be a number > 0"),
        ("KPA:target=nan", "targetValue = nan, must be a number > 0"),
        ("KPA:stable-windw=60s", "the nearest is stable-window"),
        ("KPA:stable-window=60 seconds", "must be a duration"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        spec_of(text, BOUNDS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kind: Deployment", "has 0 objects of kind PodAutoscaler"),
        (f"{KPA_FILE}\n---\n{KPA_FILE}", "has 2 objects of kind PodAutoscaler"),
        ("kind: [", "is no YAML"),
        ("kind: PodAutoscaler\nmetadata: x\nspec: {scalingStrategy: SLO}", "metadata = x, must be a mapping"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, content: str, message: str):
    file = tmp_path / "own.yaml"
    file.write_text(content)

    with pytest.raises(ValueError, match=message):
        spec_of(str(file), BOUNDS)
