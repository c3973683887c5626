"""The option `--autoscale` of several commands: strategies, as words or as a PodAutoscaler in a file.

    NAME                        a strategy with its defaults: KPA, APA, HPA, SLO
    NAME:key=value,...          `metric` and `target`, and every option that annotations of a PodAutoscaler name
    FILE.yaml                   a PodAutoscaler, with bounds of its own

Whatever is written becomes a PodAutoscaler object that spec_reading reads, so that words and files mean the same.

Lives here: the option's syntax.  Not here: what options there are (autoscaling.options), metrics by other names than
those of METRICS.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from autoscaling.spec import Spec, StrategyName
from autoscaling.spec_reading import KIND, read

SYNTAX = "NAME[:key=value,...]|FILE.yaml"
METRICS: Mapping[str, str] = {
    "running": "vllm:num_requests_running",
    "waiting": "vllm:num_requests_waiting",
    "kv_usage": "vllm:kv_cache_usage_perc",
}
"""Words for the metrics of pods that every engine has; other names are those of the engine's page."""
DEFAULT_METRIC, DEFAULT_TARGET = "running", "10"
"""The source of a strategy that needs one and names none (chosen: half of a small batch)."""
_ANNOTATIONS, _OURS = "autoscaling.aibrix.ai/", "autoscaling.forebay.io/"
_FILES = (".yaml", ".yml")
_ENGINE_PORT, _ENGINE_PATH = "8000", "/metrics"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds and promise of a command, for every strategy that has none of its own."""

    least: int
    most: int
    slo_ttft_s: float
    slo_itl_s: float


def split(values: Iterable[str]) -> list[str]:
    """Return the strategies of several values of the option, each of which may hold several after commas.

    `KPA:target=10,metric=running,SLO` is two: a part that is only a key and a value belongs to the one before it.
    """
    found: list[str] = []
    for value in values:
        for number, part in enumerate(value.split(",")):
            key, equals, _ = part.partition("=")
            if number and equals and ":" not in key:
                found[-1] += f",{part}"
            else:
                found.append(part.strip())
    return found


def spec_of(text: str, bounds: Bounds) -> Spec:
    """Return the specification that one strategy of the option stands for.

    Raises ValueError (SpecError where fields are wrong) and OSError for a file.
    """
    document = _document(Path(text)) if text.endswith(_FILES) else _object(text, bounds)
    return read(_promised(document, bounds))


def _object(text: str, bounds: Bounds) -> Mapping[str, Any]:
    """Return the PodAutoscaler that `NAME:key=value,...` means."""
    name, colon, rest = text.partition(":")
    strategy = name.strip().upper()
    if strategy not in list(StrategyName) or (colon and not rest):
        raise ValueError(f"autoscale = {text!r}, must be {SYNTAX} with NAME one of {', '.join(StrategyName)}")
    options = dict(_pair(text, part) for part in rest.split(",") if colon)
    metric, target = options.pop("metric", DEFAULT_METRIC), options.pop("target", DEFAULT_TARGET)
    source = {
        "metricSourceType": "pod", "protocolType": "http", "port": _ENGINE_PORT, "path": _ENGINE_PATH,
        "targetMetric": METRICS.get(metric, metric), "targetValue": target,
    }  # fmt: skip
    return {
        "metadata": {"annotations": {f"{_ANNOTATIONS}{key}": value for key, value in options.items()}},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "engines"},
            "scalingStrategy": strategy,
            "minReplicas": bounds.least,
            "maxReplicas": bounds.most,
            "metricsSources": [] if strategy == StrategyName.SLO else [source],
        },
    }


def _pair(text: str, part: str) -> tuple[str, str]:
    key, equals, value = part.partition("=")
    if not (key.strip() and equals and value.strip()):
        raise ValueError(f"autoscale = {text!r}: {part!r} must be key=value")
    return key.strip(), value.strip()


def _document(file: Path) -> Mapping[str, Any]:
    """Return the one PodAutoscaler of a file, which may hold other objects too."""
    try:
        documents = list(yaml.safe_load_all(file.read_text()))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no YAML: {error}") from error
    found = [each for each in documents if isinstance(each, Mapping) and each.get("kind") == KIND]
    if len(found) != 1:
        raise ValueError(f"{file} has {len(found)} objects of kind {KIND}, must have one")
    return found[0]


def _promised(document: Mapping[str, Any], bounds: Bounds) -> Mapping[str, Any]:
    """Add the command's promise where a strategy SLO has none of its own."""
    spec, metadata = document.get("spec"), document.get("metadata") or {}
    annotations = metadata.get("annotations") or {} if isinstance(metadata, Mapping) else None
    if not isinstance(spec, Mapping) or not isinstance(annotations, Mapping):
        return document  # which spec_reading refuses
    if spec.get("scalingStrategy") != StrategyName.SLO:
        return document
    named = {str(key).rpartition("/")[2] for key in annotations}
    promise = {"slo-ttft": bounds.slo_ttft_s, "slo-itl": bounds.slo_itl_s}
    added = {f"{_OURS}{key}": f"{value_s:.6f}s" for key, value_s in promise.items() if key not in named}
    return {**document, "metadata": {**metadata, "annotations": {**annotations, **added}}}
