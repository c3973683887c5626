"""The schemas of other projects' kinds, from their Go modules."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.support.go_module import has_go

MODULES = {
    "github.com/kserve/kserve@v0.15.0": "config/crd/full",
    "sigs.k8s.io/kueue@v0.17.0": "config/components/crd/bases",
    "sigs.k8s.io/karpenter@v1.14.0": "pkg/apis/crds",
    "sigs.k8s.io/gateway-api@v1.4.1": "config/crd/standard",
}
"""Module and version -> the folder of its kinds."""
Json = dict[str, Any]


def downloaded(module: str) -> Path:
    """The folder of a module, which is fetched once; without a way to it the test is skipped."""
    done = subprocess.run(
        ["go", "mod", "download", "-json", module], check=False, capture_output=True, text=True, timeout=120, cwd="/"
    )
    folder = json.loads(done.stdout or "{}").get("Dir")
    if not folder:
        pytest.skip(f"{module} cannot be fetched: {done.stdout}{done.stderr}")
    return Path(folder)


def strict(schema: Any) -> Any:
    """The schema as kubectl's strict validation takes it: fields that it does not name are mistakes."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(each) for name, each in schema.items()}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-embedded-resource")
    if isinstance(schema.get("properties"), dict) and not is_open:
        found.setdefault("additionalProperties", False)
    return found


@pytest.fixture(scope="session")
def problems_of() -> Callable[[Json], list[str]]:
    """Find the problems of an object by the schema of its kind."""
    if not has_go():
        pytest.skip("Go fetches the modules with the kinds")
    schemas: dict[tuple[str, str], Json] = {}
    for module, folder in MODULES.items():
        for path in (downloaded(module) / folder).glob("*.yaml"):
            for crd in yaml.load_all(path.read_text(), yaml.CSafeLoader):
                if crd and crd.get("kind") == "CustomResourceDefinition":
                    spec = crd["spec"]
                    for version in spec["versions"]:
                        key = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
                        schemas[key] = version["schema"]["openAPIV3Schema"]

    def problems(one: Json) -> list[str]:
        schema = strict(schemas[one["apiVersion"], one["kind"]])
        schema["properties"]["metadata"] = {"type": "object"}
        return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(one)]

    return problems
