"""Sources of metrics: the percent rule, and problems that name their field."""

from typing import Any

import pytest

from autoscaling.source_reading import is_ratio
from autoscaling.spec import Source, SourceKind
from autoscaling.spec_reading import read
from tests.support.pod_autoscalers import a_pod_autoscaler, problems_of, s1


def with_source(**fields: Any) -> dict[str, Any]:
    document = a_pod_autoscaler()
    document["spec"]["metricsSources"][0].update(fields)
    return document


@pytest.mark.parametrize(("written", "target"), [("100", 1.0), ("50", 0.5), ("1", 1.0), ("0.8", 0.8), ("80", 0.8)])
def test_the_target_of_a_number_of_replicas_is_percent_above_one(written: str, target: float):
    document = s1()
    document["spec"]["metricsSources"][0]["targetValue"] = written

    assert target == read(document).sources[0].target


@pytest.mark.parametrize("written", ["0", "-1", "NaN", "inf", "ten", "", None, True])
def test_a_target_that_is_no_number_above_zero_is_named(written: object):
    (problem,) = problems_of(with_source(targetValue=written))

    assert problem.startswith("spec.metricsSources[0].targetValue = ") and "must be a number > 0" in problem


@pytest.mark.parametrize(
    ("fields", "beginning"),
    [
        ({"metricSourceType": "node"}, "spec.metricsSources[0].metricSourceType = node"),
        ({"protocolType": "ftp"}, "spec.metricsSources[0].protocolType = ftp"),
        ({"protocolType": ""}, "spec.metricsSources[0].protocolType = nothing"),
        ({"port": ""}, "spec.metricsSources[0].port = nothing"),
        ({"port": "http"}, "spec.metricsSources[0].port = http"),
        ({"port": "65536"}, "spec.metricsSources[0].port = 65536"),
        ({"path": ""}, "spec.metricsSources[0].path = nothing"),
        ({"targetMetric": None}, "spec.metricsSources[0].targetMetric = nothing"),
        ({"endpoint": "http://a/b"}, "spec.metricsSources[0].endpoint = http://a/b"),
        ({"targetvalue": "1"}, "spec.metricsSources[0].targetvalue is not known; the nearest is targetValue"),
    ],
)
def test_a_bad_field_of_a_source_is_named(fields: dict[str, Any], beginning: str):
    (problem,) = problems_of(with_source(**fields))

    assert problem.startswith(beginning)


def test_a_resource_is_cpu_or_memory_and_has_no_address():
    problems = problems_of(with_source(metricSourceType="resource", targetMetric="gpu"))

    assert [
        "spec.metricsSources[0].targetMetric = gpu",
        "spec.metricsSources[0].protocolType = http",
        "spec.metricsSources[0].path = /metrics",
        "spec.metricsSources[0].port = 8000",
    ] == [problem.split(",")[0] for problem in problems]


def test_an_external_metric_of_the_clusters_api_needs_no_address():
    source = {"metricSourceType": "external", "targetMetric": "queue", "targetValue": "5"}

    spec = read(a_pod_autoscaler(metricsSources=[source]))

    assert Source(SourceKind.EXTERNAL, "queue", 5.0) == spec.sources[0]


def test_a_metric_is_there_once_and_a_number_of_replicas_alone():
    pod = a_pod_autoscaler()["spec"]["metricsSources"][0]
    count = s1()["spec"]["metricsSources"][0]

    assert ("spec.metricsSources[1].targetMetric = running, must not be there twice",) == problems_of(
        a_pod_autoscaler(metricsSources=[pod, pod])
    )
    assert ("spec.metricsSources[1].targetMetric = vllm:deployment_replicas, must be the only metric",) == problems_of(
        a_pod_autoscaler(metricsSources=[pod, count])
    )


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("gpu_cache_usage_perc", True),
        ("vllm:kv_cache_usage_perc", True),
        ("sglang:token_usage", True),
        ("gpu_hit_ratio", True),
        ("vllm:num_requests_waiting", False),
        ("DCGM_CUSTOM_PROCESS_SM_UTIL", False),
        ("vllm:deployment_replicas", False),
    ],
)
def test_ratios_are_known_by_name(metric: str, expected: bool):
    assert expected == is_ratio(metric)
