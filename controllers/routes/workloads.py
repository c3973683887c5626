"""Workloads with a model, and what their labels and annotations ask of its route.

Lives here: what is read of one workload, without I/O.  Not here: what several of one model ask for together (plan).
What cannot be used is a problem of that workload alone, and as if it were not there.
"""

import re
from collections.abc import Callable, Iterator
from math import inf
from typing import NamedTuple

from controllers.problems import Problem
from controllers.routes.names import LABEL, PATHS, SERVICE, TIMEOUT
from kube.events import About
from kube.models import DEFAULT_PORT, MODEL, PORT, model_of
from kube.objects import Kind, Object

DEPLOYMENTS = Kind("apps", "v1", "Deployment", "deployments", Object)
STATEFUL_SETS = Kind("apps", "v1", "StatefulSet", "statefulsets", Object)
ADAPTERS = Kind("model.aibrix.ai", "v1alpha1", "ModelAdapter", "modeladapters", Object)
FLEETS = Kind("orchestration.aibrix.ai", "v1alpha1", "RayClusterFleet", "rayclusterfleets", Object)

MAX_PORT = 65535
MODEL_BYTES, PATH_LENGTH = 256, 1024
"""The longest name of a model (chosen), and the longest path that an HTTPRoute takes."""
_PATH = re.compile(r"/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%(?!2[fF])[0-9a-fA-F]{2})*")
_NO_PATH = re.compile(r"//|/\.\.?(?:/|$)")
"""Paths that an HTTPRoute takes: absolute, and the same whoever normalises them."""
_DURATION = re.compile(r"(?:[0-9]{1,5}(?:h|m|s|ms)){1,4}")
"""A duration as an HTTPRoute takes it (GEP-2257)."""
_PART = re.compile(r"([0-9]+)(h|ms|m|s)")
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class Backend(NamedTuple):
    """The Service that a workload's pods are behind."""

    namespace: str
    service: str
    port: int


class Claim(NamedTuple):
    """One workload's part in the route of a model."""

    about: About
    model: str  # empty: the workload gets no route
    backend: Backend
    paths: tuple[str, ...] = ()  # beside those of every model
    timeout: str = ""  # empty: the default
    problems: tuple[Problem, ...] = ()


def has_model(workload: Object) -> bool:
    """Whether the workload names a model, in the label or, where no label can hold the name, the annotation."""
    return bool(model_of(workload.metadata))


def claim_of(kind: Kind[Object], workload: Object) -> Claim | None:
    """Return what the workload asks for, with an empty model where its name cannot be sent; None where it has none."""
    reader = _Reader(About(kind, workload.metadata))
    meta, model = workload.metadata, model_of(workload.metadata)
    if not model:
        return None
    port = reader.usable(meta.labels.get(PORT, ""), _is_port, "BadPort", f"label {PORT}")
    service = reader.usable(meta.annotations.get(SERVICE, ""), LABEL.fullmatch, "BadServiceName", SERVICE)
    paths = (reader.usable(path, _is_path, "BadPath", f"a path of {PATHS}") for path in _listed(meta.annotations))
    return Claim(
        reader.about,
        reader.usable(model, _is_name, "BadModelName", MODEL),
        Backend(meta.namespace, service or _service(kind, workload), int(port or DEFAULT_PORT)),
        tuple(path.rstrip("/") or "/" for path in paths if path),
        reader.usable(meta.annotations.get(TIMEOUT, ""), is_duration, "BadTimeout", TIMEOUT),
        tuple(reader.problems),
    )


class _Reader:
    """Reads the texts of one workload, and notes those that cannot be used."""

    def __init__(self, about: About) -> None:
        self.about = about
        self.problems: list[Problem] = []

    def usable(self, text: str, is_usable: Callable[[str], object], reason: str, what: str) -> str:
        """Return the text, empty where it is that or cannot be used."""
        if text and not is_usable(text):
            self.problems.append(Problem(self.about, reason, f"{what} = {text!r}, is not used"))
            return ""
        return text


def seconds(duration: str) -> float:
    """Return how long a duration is; infinite where it is 0, which means no limit."""
    return sum(int(number) * _UNITS_S[unit] for number, unit in _PART.findall(duration)) or inf


def is_duration(text: str) -> bool:
    """Whether an HTTPRoute takes the text as a timeout."""
    return _DURATION.fullmatch(text) is not None


def _service(kind: Kind[Object], workload: Object) -> str:
    """Return the Service where none is named: an adapter's is called like it, others like the model if possible."""
    model = model_of(workload.metadata)
    return workload.metadata.name if kind is ADAPTERS or not LABEL.fullmatch(model) else model


def _listed(annotations: dict[str, str]) -> Iterator[str]:
    return filter(None, (path.strip() for path in annotations.get(PATHS, "").split(",")))


def _is_name(model: str) -> bool:
    return model.isprintable() and model == model.strip() and len(model.encode()) <= MODEL_BYTES


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text) <= MAX_PORT


def _is_path(path: str) -> bool:
    return len(path) <= PATH_LENGTH and _PATH.fullmatch(path) is not None and _NO_PATH.search(path) is None
