"""Answers of a demanded form, asked as clients ask."""

import json

import openai
import pytest
from jsonschema import Draft202012Validator

from tests.support.engines import an_engine, asking, choice_of

CITY = {"type": "object", "properties": {"city": {"type": "string"}, "people": {"type": "integer"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY | {"required": ["city", "people"]}}}


@pytest.mark.parametrize(
    "changes",
    [
        {"response_format": FORMAT},
        {"guided_json": CITY},
        {"guided_json": json.dumps(CITY)},
        {"structured_outputs": {"json": CITY}},
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_valid_for_the_schema(changes, stream):
    async with an_engine() as (_, client), openai.AsyncOpenAI(base_url=f"{client.base_url}/v1", api_key="x") as asked:
        known, further = {}, changes
        if "response_format" in changes:
            known, further = changes, {}
        arguments = {"model": "tiny", "messages": [{"role": "user", "content": "A city"}], **known}
        if stream:
            parts = await asked.chat.completions.create(**arguments, extra_body=further, stream=True)
            text = "".join([part.choices[0].delta.content or "" async for part in parts])
        else:
            text = (await asked.chat.completions.create(**arguments, extra_body=further)).choices[0].message.content

    Draft202012Validator(CITY).validate(json.loads(text))


async def test_other_forms_are_kept():
    async with an_engine() as (_, client):
        texts = [
            (await choice_of(client, asking("Hi", **changes)))["message"]["content"]
            for changes in (
                {"response_format": {"type": "json_object"}},
                {"guided_choice": ["yes"]},
                {"guided_regex": "^a{9}$"},
            )
        ]
        cut = await choice_of(client, asking("Hi", response_format=FORMAT, max_tokens=2))

    assert isinstance(json.loads(texts[0]), dict)
    assert ["yes", "a" * 9] == texts[1:]
    assert "length" == cut["finish_reason"]
