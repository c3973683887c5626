"""Values made by a schema, judged by a validator that others wrote."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from simulator.openai.instances import UnsupportedSchemaError, instance

TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "parent": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["name", "children", "parent"],
            "additionalProperties": False,
        }
    },
}
SCHEMAS = [
    {},
    True,
    {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]},
    {"type": ["string", "null"]},
    {"type": "integer", "minimum": 5, "exclusiveMaximum": 7},
    {"type": "integer", "maximum": -3},
    {"type": "integer", "multipleOf": 7, "minimum": 8},
    {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
    {"type": "number", "multipleOf": 0.25, "minimum": 3},
    {"minimum": 2, "maximum": 2.5},
    {"type": "string", "minLength": 20, "maxLength": 21},
    {"type": "string", "maxLength": 2},
    {"type": "string", "minLength": 3, "maxLength": 3},
    {"type": "string", "pattern": r"^[A-Z]{2}-\d{4}$"},
    {"pattern": "^(red|green)+[^a-z]?$", "minLength": 6},
    {"type": "string", "enum": ["celsius", "fahrenheit"]},
    {"const": {"a": [1]}},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 4, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}], "items": False},
    {"type": "array", "maxItems": 0},
    {"type": "array", "minItems": 1},
    {"type": "object", "required": ["anything"]},
    {"type": "object", "minProperties": 2, "additionalProperties": {"type": "integer"}},
    {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"]}]},
    {"oneOf": [{"type": "integer"}, {"type": "string"}]},
    {
        "allOf": [
            {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"b": {"type": "string"}}, "required": ["b"]},
        ]
    },
    {"allOf": [{"minimum": 3}, {"minimum": 5, "maximum": 6}], "type": "integer"},
    {"enum": [1, 2, 3], "allOf": [{"enum": [3, 4]}]},
    TREE,
    {"definitions": {"a/b": {"type": "integer"}}, "$ref": "#/definitions/a~1b"},
    *({"type": "string", "format": name} for name in ("date", "date-time", "email", "uuid", "ipv4", "ipv6", "uri")),
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_a_value_is_valid_for_its_schema(schema):
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)

    for seed in range(30):
        validator.validate(instance(schema, Random(seed)))


leaves = st.one_of(
    st.just({"type": "string"}),
    st.just({"type": "boolean"}),
    st.builds(
        lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span},
        st.integers(-9, 9),
        st.integers(0, 9),
    ),
    st.builds(lambda low: {"type": "number", "minimum": low}, st.floats(-1e6, 1e6)),
    st.builds(lambda values: {"enum": values}, st.lists(st.integers(), min_size=1)),
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda item, least: {"type": "array", "items": item, "minItems": least}, inner, st.integers(0, 3)),
        st.builds(lambda any_of: {"anyOf": any_of}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(
            lambda members: {"type": "object", "properties": members, "required": list(members)[::2]},
            st.dictionaries(st.text(max_size=5), inner, max_size=4),
        ),
    ),
    max_leaves=12,
)


@given(schema=schemas, seed=st.integers(0, 9))
def test_a_value_of_any_nested_schema_is_valid(schema, seed):
    Draft202012Validator(schema).validate(instance(schema, Random(seed)))


@pytest.mark.parametrize(
    "schema",
    [
        False,
        "text",
        {"type": "picture"},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#"},
        {"type": "object", "properties": {"me": {"$ref": "#"}}, "required": ["me"]},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": "^a{3}$", "maxLength": 2},
        {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True},
    ],
    ids=str,
)
def test_what_cannot_be_made_is_said(schema):
    with pytest.raises(UnsupportedSchemaError):
        instance(schema, Random(1))
