"""The objects and calls of the article that Forebay's users come from (AIBrix 0.2.1), for models of any name.

Lives here: samples/article under other names, bodies of requests.  Not here: what must come of them (tests).
"""

import json
from typing import Any

import yaml

from tests.support.source_tree import ROOT

SAMPLES = ROOT / "samples/article"
MODEL = "deepseek-r1-distill-llama-8b"


def deployment(model: str, name: str = "", replicas: int = 1) -> dict[str, Any]:
    """The Deployment of a model; one of several of the same model has a `name`.

    Without the runtime, a second process in each of many pods: test_page.py has the sample as it is.
    """
    made = _objects(model)[0]
    del made["spec"]["template"]["spec"]["containers"][1:]
    made["spec"]["replicas"] = replicas
    if name:
        made["metadata"]["name"] = name
        made["spec"]["selector"]["matchLabels"]["app"] = name
        made["spec"]["template"]["metadata"]["labels"]["app"] = name
    return made


def service(model: str) -> dict[str, Any]:
    """The Service of a model, which has its name."""
    return _objects(model)[1]


def _objects(model: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((SAMPLES / "model.yaml").read_text().replace(MODEL, model)))


def chat(model: str = MODEL, **more: Any) -> dict[str, Any]:
    """The body of the article's request."""
    messages = [{"role": "user", "content": "Say this is a test!"}]
    return {"model": model, "messages": messages, "temperature": 0.7, **more}


def manifest(*objects: dict[str, Any]) -> str:
    """Objects for `kubectl apply -f -`."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
