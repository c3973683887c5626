"""PodAutoscaler objects: the seeds' as printed, every spelling, and problems that name their field."""

from typing import Any

import pytest

from autoscaling.spec import Source, SourceKind, StrategyName, Target
from autoscaling.spec_reading import read
from tests.support.pod_autoscalers import a_pod_autoscaler, problems_of, s1, s2


def test_the_optimizer_driven_object_reads_as_its_authors_meant_it():
    spec = read(s1())

    assert spec.target == Target("apps/v1", "Deployment", "deepseek-coder-7b-v100", "default")
    assert (spec.strategy, spec.least, spec.most) == (StrategyName.KPA, 0, 10)
    assert spec.sources == (
        Source(
            SourceKind.EXTERNAL,
            "vllm:deployment_replicas",
            1.0,
            "http",
            "aibrix-gpu-optimizer.aibrix-system.svc.cluster.local:8080",
            "/metrics/default/deepseek-coder-7b-v100",
        ),
    )
    assert spec.options == {"scale-down-delay": "0s"}
    assert [True, True] == [
        "label" in spec.notes[0] and "scale-down-delay" in spec.notes[0],
        "targetValue = 100 is read as percent of a replica: 1." in spec.notes[1],
    ]


def test_least_replicas_above_what_the_optimizer_may_ask_for_are_noted():
    document = s1()
    document["spec"]["minReplicas"] = 1

    assert any("minReplicas = 1" in note for note in read(document).notes)


def test_the_articles_hpa_scales_at_half_of_the_cache_and_says_so():
    spec = read(s2("HPA"))

    assert 0.5 == spec.sources[0].target
    assert any("gpu_cache_usage_perc is a ratio" in note for note in spec.notes)


def test_the_articles_kpa_has_all_its_annotations_and_its_path_a_slash():
    spec = read(s2("KPA"))

    assert spec.options == {
        "target-burst-capacity": "2.0",
        "activation-scale": "2",
        "panic-threshold": "2.0",
        "stable-window": "60s",
        "panic-window": "10s",
        "scale-down-delay": "30m",
    }
    assert ("/metrics", "8000", 0.5, ()) == (
        spec.sources[0].path,
        spec.sources[0].port,
        spec.sources[0].target,
        spec.notes,
    )


def test_the_articles_apa_has_its_tolerances_without_the_prefix_of_the_strategy():
    spec = read(s2("APA"))

    assert {"up-fluctuation-tolerance": "0.1", "down-fluctuation-tolerance": "0.2", "window": "30s"} == spec.options


@pytest.mark.parametrize(
    ("key", "strategy", "name"),
    [
        ("autoscaling.aibrix.ai/scale-up-tolerance", "APA", "up-fluctuation-tolerance"),
        ("apa.autoscaling.aibrix.ai/down-fluctuation-tolerance", "APA", "down-fluctuation-tolerance"),
        ("autoscaling.aibrix.ai/max-scale-up-rate", "KPA", "max-scale-up-rate"),
        ("autoscaling.aibrix.ai/panic-threshold", "KPA", "panic-threshold"),
    ],
)
@pytest.mark.parametrize("place", ["annotations", "labels"])
def test_every_spelling_is_read_from_annotations_and_labels(key: str, strategy: str, name: str, place: str):
    value = "0.5" if "tolerance" in key else "2"
    document = a_pod_autoscaler(strategy)
    document["metadata"][place] = {key: value}

    spec = read(document)

    assert {name: value} == spec.options
    assert (place == "labels") == any("belongs in the annotations" in note for note in spec.notes)


def test_an_annotation_counts_before_a_label_and_the_own_prefix_before_the_common_one():
    document = a_pod_autoscaler()
    document["metadata"] = {
        "labels": {"kpa.autoscaling.aibrix.ai/scale-down-delay": "1s"},
        "annotations": {
            "autoscaling.aibrix.ai/scale-down-cooldown-window": "2s",
            "kpa.autoscaling.aibrix.ai/scale-down-delay": "3s",
        },
    }

    spec = read(document)

    assert {"scale-down-delay": "3s"} == spec.options
    assert 2 == sum("is not used: scale-down-delay is 3s" in note for note in spec.notes)


def test_options_of_another_strategy_do_nothing_and_say_so():
    spec = read(
        a_pod_autoscaler(
            "APA",
            annotations={
                "kpa.autoscaling.aibrix.ai/stable-window": "1s",
                "autoscaling.aibrix.ai/scale-to-zero": "true",
            },
        )
    )

    assert {} == spec.options
    assert 2 == sum("does nothing with strategy APA" in note for note in spec.notes)


def test_promises_are_read():
    spec = read(
        {
            "metadata": {
                "annotations": {
                    "autoscaling.forebay.io/slo-ttft": "3s",
                    "autoscaling.forebay.io/slo-itl": "100ms",
                }
            },
            "spec": {
                "scalingStrategy": "SLO",
                "maxReplicas": 8,
                "scaleTargetRef": {"kind": "StatefulSet", "name": "a"},
            },
        }
    )

    assert (3.0, 0.1, 1, ()) == (spec.slo_ttft_s, spec.slo_itl_s, spec.least, spec.sources)


def test_the_fields_for_windows_count_where_no_annotation_does():
    spec = read(
        a_pod_autoscaler(
            annotations={"kpa.autoscaling.aibrix.ai/stable-window": "90s"},
            observeWindowSeconds=180,
            panicWindowSeconds=20,
        )
    )

    assert {"stable-window": "90s", "panic-window": "20s"} == spec.options


@pytest.mark.parametrize(
    ("changed", "beginning", "rule"),
    [
        ({"scalingStrategy": "XPA"}, "spec.scalingStrategy = XPA", "one of HPA, KPA, APA, SLO"),
        ({"scalingStrategy": None}, "spec.scalingStrategy = nothing", "must be text"),
        ({"maxReplicas": 0}, "spec.maxReplicas = 0", "must be > 0"),
        ({"maxReplicas": None}, "spec.maxReplicas = nothing", "must be > 0"),
        ({"maxReplicas": True}, "spec.maxReplicas = True", "whole number"),
        ({"minReplicas": -1}, "spec.minReplicas = -1", "must be >= 0"),
        ({"minReplicas": 1.5}, "spec.minReplicas = 1.5", "whole number"),
        ({"minReplicas": 11}, "spec.maxReplicas = 10", "must be >= spec.minReplicas, which is 11"),
        ({"metricsSources": []}, "spec.metricsSources = []", "at least one"),
        ({"metricsSources": None}, "spec.metricsSources = nothing", "must be a list"),
        ({"scaleTargetRef": {"kind": "Deployment"}}, "spec.scaleTargetRef.name = nothing", "must be text"),
        ({"scaleTargetRef": {"kind": "Foo", "name": "a"}}, "spec.scaleTargetRef.apiVersion = nothing", "text"),
        (
            {"scaleTargetRef": {"kind": "Deployment", "name": "a", "namespace": "other"}},
            "spec.scaleTargetRef.namespace = other",
            "namespace of the autoscaler, default",
        ),
        ({"observeWindowSeconds": 0, "panicWindowSeconds": 1}, "spec.observeWindowSeconds = 0", "must be > 0"),
        ({"observeWindowSeconds": 9}, "panic-window = 10s", "must be <= stable-window, which is 9s"),
        ({"maxReplica": 3}, "spec.maxReplica is not known", "the nearest is maxReplicas"),
    ],
)
def test_a_bad_field_is_named(changed: dict[str, Any], beginning: str, rule: str):
    (problem,) = problems_of(a_pod_autoscaler(**changed))

    assert problem.startswith(beginning) and rule in problem


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("kpa.autoscaling.aibrix.ai/scale-down-delay", "30 minutes", "must be a duration such as 30m"),
        ("kpa.autoscaling.aibrix.ai/scale-down-delay", "-5s", "must be a duration such as 30m"),
        ("kpa.autoscaling.aibrix.ai/stable-window", "0s", "must be a duration from 1s"),
        ("kpa.autoscaling.aibrix.ai/panic-window", "2m", "must be <= stable-window"),
        ("kpa.autoscaling.aibrix.ai/panic-threshold", "NaN", "must be a number > 1"),
        ("kpa.autoscaling.aibrix.ai/activation-scale", "1.5", "must be a whole number >= 1"),
        ("autoscaling.aibrix.ai/max-scale-up-rate", "1", "must be a number > 1"),
        ("kpa.autoscaling.aibrix.ai/stable-windw", "60s", "is no option; the nearest is stable-window"),
    ],
)
def test_a_bad_annotation_is_named(key: str, value: str, rule: str):
    (problem,) = problems_of(a_pod_autoscaler(annotations={key: value}))

    assert key.split("/")[1] in problem and f"= {value}" in problem and rule in problem


def test_empty_fields_are_absent_ones():
    spec = read(a_pod_autoscaler(minReplicas=None) | {"metadata": None})

    assert (1, "default") == (spec.least, spec.target.namespace)


def test_all_problems_are_told_at_once():
    document = a_pod_autoscaler("XPA", target="0", maxReplicas=0) | {"kind": "Pod", "apiVersion": "v1"}

    assert ["apiVersion", "kind", "spec.scalingStrategy", "spec.maxReplicas", "spec.metricsSources[0].targetValue"] == [
        problem.split(" = ")[0] for problem in problems_of(document)
    ]


@pytest.mark.parametrize("document", [{}, {"spec": None}, {"spec": [], "metadata": 3}, {"spec": {"schedules": "x"}}])
def test_an_object_without_its_parts_has_problems_and_no_other_errors(document: dict[str, Any]):
    assert problems_of(document)
