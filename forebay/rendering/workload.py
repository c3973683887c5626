"""The model server itself: an InferenceService or a Deployment with its Service, and what scales it.

Lives here: what Arena's chart for KServe makes of the same options, with the labels by which gateways find the pods.
Not here: which nodes they go to (placement), how requests come to them (routes).
"""

from typing import Any

from forebay.rendering.asked import KSERVE_METRICS, Asked, read_data
from forebay.rendering.placement import affinity, tolerations

Json = dict[str, Any]


def workload(asked: Asked) -> list[Json]:
    """Return the server and its autoscaler."""
    server = [_inference_service(asked)] if asked.engine == "kserve" else [_deployment(asked), _service(asked)]
    return server if scales_itself(asked) else [*server, _autoscaler(asked)]


def scales_itself(asked: Asked) -> bool:
    """Return whether KServe makes the autoscaler, or none is asked for."""
    return not asked.scale_metric or (asked.engine == "kserve" and asked.scale_metric in KSERVE_METRICS)


def _inference_service(asked: Asked) -> Json:
    needs_knative = asked.scale_metric in ("rps", "concurrency")
    annotations = {} if needs_knative else {"serving.kserve.io/deploymentMode": "RawDeployment"}
    predictor: Json = {
        "labels": asked.model_labels,
        "annotations": asked.model_annotations,
        **_pod(asked, "kserve-container"),
    }
    if scales_itself(asked):
        predictor |= {"minReplicas": asked.min_replicas, "maxReplicas": asked.max_replicas}
        if asked.scale_metric:
            predictor |= {"scaleMetric": asked.scale_metric, "scaleTarget": int(asked.scale_target)}
    else:
        annotations["serving.kserve.io/autoscalerClass"] = "external"
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": _metadata(asked, asked.name) | {"annotations": annotations},
        "spec": {"predictor": predictor},
    }


def _deployment(asked: Asked) -> Json:
    labels = {"app": asked.app, **asked.model_labels}
    metadata = _metadata(asked, asked.name)
    template = {"metadata": {"labels": labels, "annotations": asked.model_annotations}, "spec": _pod(asked, "engine")}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata
        | {"labels": metadata["labels"] | asked.model_labels, "annotations": asked.model_annotations},
        "spec": {
            "replicas": asked.min_replicas,
            "selector": {"matchLabels": {"app": asked.app}},
            "template": template,
        },
    }


def _service(asked: Asked) -> Json:
    port = {"name": "http", "port": asked.port, "targetPort": asked.port}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(asked, asked.workload),
        "spec": {"selector": {"app": asked.app}, "ports": [port]},
    }


def _pod(asked: Asked, container: str) -> Json:
    resources = {"cpu": asked.cpu, "memory": asked.memory, "nvidia.com/gpu": asked.gpus and str(asked.gpus)}
    given = {name: amount for name, amount in resources.items() if amount}
    engine: Json = {
        "name": container,
        "image": asked.image,
        "command": ["sh", "-c", asked.command],
        "ports": [{"containerPort": asked.port, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": asked.port}, "periodSeconds": 5},
        "resources": {"limits": given, "requests": dict(given)},
    }
    pod: Json = {"containers": [engine], **affinity(asked.places), **tolerations(asked.places)}
    if asked.data:
        claim, path = read_data(asked.data)
        engine["volumeMounts"] = [{"name": claim, "mountPath": path}]
        pod["volumes"] = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}}]
    return pod


def _autoscaler(asked: Asked) -> Json:
    target = {"type": "AverageValue", "averageValue": asked.scale_target}
    metric: Json = {"type": "Pods", "pods": {"metric": {"name": asked.scale_metric}, "target": target}}
    if asked.scale_metric in ("cpu", "memory"):
        share = {"type": "Utilization", "averageUtilization": int(asked.scale_target)}
        metric = {"type": "Resource", "resource": {"name": asked.scale_metric, "target": share}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(asked, f"{asked.name}-hpa"),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": asked.workload},
            "minReplicas": asked.min_replicas,
            "maxReplicas": asked.max_replicas,
            "metrics": [metric],
        },
    }


def _metadata(asked: Asked, name: str) -> Json:
    labels = {"servingType": asked.engine, "servingName": asked.name}
    return {"name": name, "namespace": asked.namespace, "labels": labels}
