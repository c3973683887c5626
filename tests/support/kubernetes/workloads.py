"""Workloads with the label of a model, as they are read, for tests of the controller of routes."""

from kube.models import MODEL
from kube.objects import Metadata, Object


def a_workload(
    name: str = "d", namespace: str = "default", model: str = "m", created: str = "2026-01-01T00:00:00Z", **more: str
) -> Object:
    """A workload of the model; `more` are labels, or with a `_` before it an annotation, by their last word."""
    labels = {MODEL: model} if model else {}
    annotations = {}
    for word, value in more.items():
        (annotations if word.startswith("_") else labels)[KEYS[word.lstrip("_")]] = value
    metadata = Metadata(
        name=name,
        namespace=namespace,
        uid=f"{namespace}/{name}",
        creation_timestamp=created,
        labels=labels,
        annotations=annotations,
    )
    return Object(metadata)


KEYS = {
    "name": MODEL,
    "port": "model.aibrix.ai/port",
    "service": "model.aibrix.ai/service-name",
    "paths": "model.aibrix.ai/model-router-custom-paths",
    "timeout": "forebay.io/request-timeout",
}
