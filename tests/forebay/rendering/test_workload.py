"""The model server of the article: what Arena makes of the same line, with our labels."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.rendered import named, rendered

Problems = Callable[[dict[str, Any]], list[str]]


def test_kserve_gets_what_arenas_chart_makes():
    objects = named(rendered())
    service, scaler = objects["InferenceService", "qwen-chat"], objects["HorizontalPodAutoscaler", "qwen-chat-hpa"]

    predictor = service["spec"]["predictor"]
    [container] = predictor["containers"]
    amounts = {"cpu": "4", "memory": "12Gi", "nvidia.com/gpu": "1"}

    assert "external" == service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"]
    assert {"minReplicas", "maxReplicas", "scaleMetric"}.isdisjoint(predictor)
    assert ["sh", "-c"] == container["command"][:2]
    assert container["command"][2].endswith("--quantization gptq --max-model-len=6144")
    assert {"limits": amounts, "requests": amounts} == container["resources"]
    assert [{"name": "llm-model", "mountPath": "/mnt/models/Qwen"}] == container["volumeMounts"]
    assert "llm-model" == predictor["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert {"model.aibrix.ai/name": "qwen", "model.aibrix.ai/port": "8080"} == predictor["labels"]
    assert ("qwen-chat-predictor", 1, 3) == (
        scaler["spec"]["scaleTargetRef"]["name"], scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]
    )  # fmt: skip
    assert {
        "metric": {"name": "DCGM_CUSTOM_PROCESS_SM_UTIL"}, "target": {"type": "AverageValue", "averageValue": "50"}
    } == scaler["spec"]["metrics"][0]["pods"]  # fmt: skip


def test_a_metric_that_kserve_knows_stays_in_its_own_object():
    objects = named(rendered("--scale-metric", "cpu", line="--name a --image i --max-replicas 3 serve"))

    predictor = objects["InferenceService", "a"]["spec"]["predictor"]

    assert ("cpu", 50, 1, 3) == tuple(
        predictor[key] for key in ("scaleMetric", "scaleTarget", "minReplicas", "maxReplicas")
    )
    assert ("HorizontalPodAutoscaler", "a-hpa") not in objects


def test_a_deployment_needs_no_kserve():
    objects = named(rendered(engine="deployment"))
    deployment, service = objects["Deployment", "qwen-chat"], objects["Service", "qwen-chat"]

    labels = deployment["spec"]["template"]["metadata"]["labels"]

    assert {"app": "qwen-chat", "model.aibrix.ai/name": "qwen", "model.aibrix.ai/port": "8080"} == labels
    assert "qwen" == deployment["metadata"]["labels"]["model.aibrix.ai/name"]
    assert (8080, {"app": "qwen-chat"}) == (service["spec"]["ports"][0]["port"], service["spec"]["selector"])
    assert "qwen-chat" == objects["HorizontalPodAutoscaler", "qwen-chat-hpa"]["spec"]["scaleTargetRef"]["name"]


@pytest.mark.parametrize("metric", ["DCGM_CUSTOM_PROCESS_SM_UTIL", "cpu", "concurrency"])
def test_kserve_takes_it(problems_of: Problems, metric: str):
    service = named(rendered("--scale-metric", metric, line="--name a --image i --gpus 1 --data c:/m serve"))

    assert [] == problems_of(service["InferenceService", "a"])


def test_a_mistake_would_be_found(problems_of: Problems):
    service = named(rendered())["InferenceService", "qwen-chat"]
    service["spec"]["predictor"]["replicas"] = 3

    assert 1 == len(problems_of(service))
