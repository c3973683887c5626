"""The schema describes every setting, and the nearest key is found in it."""

import orjson
import pytest

from gateway.config.schema import nearest_key, section_in, sections, settings_schema
from gateway.config.settings import EndpointSettings, ModelSettings, Settings

KEYWORDS = {
    *("$schema", "$ref", "$defs", "title", "description", "default", "type", "enum", "anyOf", "items"),
    *("properties", "required", "additionalProperties", "minLength", "maxLength", "pattern"),
    *("minProperties", "propertyNames"),
    *("minItems", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"),
}
"""Those of JSON Schema draft 7; `$defs` is only where references lead, which draft 7 leaves open."""


def keys() -> dict[str, dict[str, object]]:
    """The schema of every key by its path."""
    return {
        f"{path}.{name}".lstrip("."): key for path, section in sections() for name, key in section["properties"].items()
    }


def test_every_section_is_found_with_every_key_in_the_order_of_the_settings():
    found = {path: list(section["properties"]) for path, section in sections()}

    assert list(Settings.model_fields) == found[""]
    assert list(ModelSettings.model_fields) == found["models[]"]
    assert list(EndpointSettings.model_fields) == found["models[].endpoints[]"]
    assert next(iter(found)) == ""


def test_every_key_and_every_section_has_a_description():
    assert [] == [name for name, key in keys().items() if not (key.get("description") or section_in(key))]
    assert [] == [path for path, section in sections() if not section["description"]]


def test_every_key_has_a_default_or_is_required():
    required = [f"{path}.{name}" for path, section in sections() for name in section.get("required", ())]

    assert {
        "models[].name", "models[].profiles[].name", "models[].endpoints[].address", "picker.objectives[].name",
        "picker.rewrites[].targets", "picker.rewrites[].targets[].model", "pools[].name",
        "pools[].priority", "pools[].api.url", "pools[].api.models", "aliases[].name", "aliases[].targets",
        "aliases[].targets[].model",
    } == set(required)  # fmt: skip
    assert required == [name for name, key in keys().items() if "default" not in key]


def test_editors_are_told_choices_bounds_and_that_other_keys_are_wrong():
    assert ["metadata", "ext_proc"] == keys()["response_mode"]["enum"]
    assert (0, 10) == (keys()["routing.fallbacks"]["minimum"], keys()["routing.fallbacks"]["maximum"])
    assert {False} == {section["additionalProperties"] for _, section in sections()}


def test_no_title_repeats_a_name_of_the_code():
    parts = [schema for _, schema in sections()][1:] + list(keys().values())

    assert [] == [part["title"] for part in parts if "title" in part]


def test_every_keyword_means_the_same_in_the_dialect_that_is_declared():
    values = [value for key in keys().values() for value in (key, *key.get("anyOf", ()), key.get("items", {}))]
    used = {keyword for part in [*values, *(schema for _, schema in sections())] for keyword in part}

    assert "http://json-schema.org/draft-07/schema#" == settings_schema()["$schema"]
    assert set() == used - KEYWORDS


def test_the_schema_is_json():
    assert settings_schema() == orjson.loads(orjson.dumps(settings_schema()))


@pytest.mark.parametrize(
    ("section", "unknown", "hint"),
    [
        ("redis", "urll", "did you mean url?"),
        ("models[].endpoints[]", "gpus", "did you mean gpu?"),
        ("health", "url", "did you mean redis.url?"),
        ("models[]", "identity", "did you mean identity at the top level?"),
        ("redis", "zzz", "known keys: cluster, timeout_s, url, when_away"),
    ],
)
def test_the_nearest_key_of_the_section_comes_before_one_elsewhere(section: str, unknown: str, hint: str):
    assert hint == nearest_key(section, unknown)
