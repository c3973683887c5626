"""Reads PodAutoscaler objects: every spelling of three generations of the original, all problems at once.

Lives here: the object.  Not here: the options that annotations name (options), metrics sources (source_reading),
schedules (schedule_reading), what follows from a specification (strategies).

Fields and their rules are those of autoscaling.aibrix.ai/v1alpha1; `metadata` may be absent, as in files.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from autoscaling.durations import duration_s
from autoscaling.options import BY_NAME, PREFIXES, Option
from autoscaling.schedule_reading import read_schedules
from autoscaling.source_reading import read_sources
from autoscaling.spec import REPLICAS_METRIC, Source, SourceKind, Spec, StrategyName, Target
from autoscaling.values import Values

GROUP = "autoscaling.aibrix.ai"
KIND = "PodAutoscaler"
DEFAULT_LEAST = 1
"""`minReplicas` where it is absent."""
DEFAULT_WINDOW_S, DEFAULT_PANIC_WINDOW_S = "60s", "10s"
"""Windows of KPA where nothing names them (AIBrix v0.2.1)."""
LONGEST_FIELD_WINDOW_S = 3600
"""Most seconds of the fields that give windows."""

_FIELDS = frozenset({
    "scaleTargetRef", "minReplicas", "maxReplicas", "metricsSources", "scalingStrategy", "schedules",
    "observeWindowSeconds", "panicWindowSeconds", "subTargetSelector", "predictive",
})  # fmt: skip
_UNUSED_FIELDS = ("subTargetSelector", "predictive")
_API_VERSIONS = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "RayClusterFleet": "orchestration.aibrix.ai/v1alpha1",
}
"""`apiVersion` of a target that gives none."""


class SpecError(ValueError):
    """An object that is no specification; each of `problems` begins with the path of its field."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read(document: Mapping[str, Any]) -> Spec:
    """Return the specification that a PodAutoscaler object gives.  Raises SpecError with every problem of it."""
    values = Values()
    _check_kind(values, document)
    spec = values.mapping("spec", document.get("spec"))
    values.known("spec", spec, _FIELDS)
    name = values.text("spec.scalingStrategy", spec.get("scalingStrategy"))
    strategy = values.choice("spec.scalingStrategy", name, StrategyName)
    least, most = _bounds(values, spec)
    options = _options(values, values.mapping("metadata", document.get("metadata") or {}), strategy)
    _take_windows(values, spec, strategy, options)
    sources = read_sources(values, spec.get("metricsSources"), strategy)
    _warn_of_least(values, sources, least)
    read_value = Spec(
        target=_target(values, spec.get("scaleTargetRef"), document),
        strategy=strategy,
        least=least,
        most=most,
        sources=sources,
        schedules=read_schedules(values, spec.get("schedules"), least, most),
        slo_ttft_s=_promise_s(options, "slo-ttft"),
        slo_itl_s=_promise_s(options, "slo-itl"),
        options=options,
        notes=tuple(values.notes),
    )
    if values.problems:
        raise SpecError(tuple(values.problems))
    return read_value


def _check_kind(values: Values, document: Mapping[str, Any]) -> None:
    version, kind = document.get("apiVersion", f"{GROUP}/v1alpha1"), document.get("kind", KIND)
    if not isinstance(version, str) or version.partition("/")[0] != GROUP:
        values.problem("apiVersion", version, f"must be one of {GROUP}")
    if kind != KIND:
        values.problem("kind", kind, f"must be {KIND}")


def _bounds(values: Values, spec: Mapping[str, Any]) -> tuple[int, int]:
    earlier = len(values.problems)
    least = (
        DEFAULT_LEAST if spec.get("minReplicas") is None else values.count("spec.minReplicas", spec["minReplicas"], 0)
    )
    most = values.count("spec.maxReplicas", spec.get("maxReplicas"), 1)
    if most < least and len(values.problems) == earlier:
        values.problem("spec.maxReplicas", most, f"must be >= spec.minReplicas, which is {least}")
    return least, most


def _target(values: Values, value: object, document: Mapping[str, Any]) -> Target:
    path = "spec.scaleTargetRef"
    reference = values.mapping(path, value)
    metadata = document.get("metadata") or {}
    own = metadata.get("namespace", "default") if isinstance(metadata, Mapping) else "default"
    namespace = reference.get("namespace") or own
    if namespace != own:
        values.problem(f"{path}.namespace", namespace, f"must be the namespace of the autoscaler, {own}")
    kind = values.text(f"{path}.kind", reference.get("kind"))
    version = reference.get("apiVersion") or _API_VERSIONS.get(kind)
    return Target(
        api_version=values.text(f"{path}.apiVersion", version),
        kind=kind,
        name=values.text(f"{path}.name", reference.get("name")),
        namespace=str(namespace),
    )


def _options(values: Values, metadata: Mapping[str, Any], strategy: StrategyName) -> dict[str, str]:
    """Return the options of annotations and labels by their first names; annotations count before labels."""
    found: dict[str, str] = {}
    for place in ("annotations", "labels"):
        written = values.mapping(f"metadata.{place}", metadata.get(place) or {})
        for prefix, only_for in PREFIXES.items():
            for key in sorted(key for key in written if isinstance(key, str) and key.startswith(prefix)):
                path = f'metadata.{place}["{key}"]'
                checked = _checked(values, path, key.removeprefix(prefix), written[key])
                if checked is None:
                    continue
                option, text = checked
                if strategy not in option.strategies or only_for not in (None, strategy):
                    values.notes.append(f"{path} does nothing with strategy {strategy}.")
                elif found.setdefault(option.name, text) != text:
                    values.notes.append(f"{path} = {text} is not used: {option.name} is {found[option.name]}.")
                if place == "labels":
                    values.notes.append(f"{path} is read from a label, but belongs in the annotations.")
    return found


def _checked(values: Values, path: str, name: str, value: object) -> tuple[Option, str] | None:
    option = BY_NAME.get(name)
    if option is None:
        near = get_close_matches(name, BY_NAME, n=1, cutoff=0.0)
        values.problem(path, value, f"is no option; the nearest is {near[0]}")
        return None
    text = value if isinstance(value, str) else str(value)  # files of people may have numbers
    try:
        option.parse(text)
    except ValueError as error:
        values.problem(path, value, str(error))
        return None
    return option, text


def _take_windows(values: Values, spec: Mapping[str, Any], strategy: StrategyName, options: dict[str, str]) -> None:
    """Take the fields that give windows as options, where no annotation gives them; check the windows of KPA."""
    for key, name in (("observeWindowSeconds", "stable-window"), ("panicWindowSeconds", "panic-window")):
        if spec.get(key) is None:
            continue
        seconds = values.count(f"spec.{key}", spec[key], 1, LONGEST_FIELD_WINDOW_S)
        if strategy is StrategyName.KPA:
            options.setdefault(name, f"{seconds}s")
        elif strategy is StrategyName.APA and name == "stable-window":
            options.setdefault("window", f"{seconds}s")
        else:
            values.notes.append(f"spec.{key} does nothing with strategy {strategy}.")
    for key in _UNUSED_FIELDS:
        if spec.get(key) is not None:
            values.notes.append(f"spec.{key} does nothing.")
    stable, panic = options.get("stable-window", DEFAULT_WINDOW_S), options.get("panic-window", DEFAULT_PANIC_WINDOW_S)
    if duration_s(panic) > duration_s(stable):
        values.problem("panic-window", panic, f"must be <= stable-window, which is {stable}")


def _promise_s(options: Mapping[str, str], name: str) -> float | None:
    return float(BY_NAME[name].parse(options[name])) if name in options else None


def _warn_of_least(values: Values, sources: tuple[Source, ...], least: int) -> None:
    asks_for_none = any(each.kind is SourceKind.EXTERNAL and each.metric == REPLICAS_METRIC for each in sources)
    if asks_for_none and least > 0:
        values.notes.append(f"spec.minReplicas = {least} keeps replicas that the optimizer wants to be without.")
