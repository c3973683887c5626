"""Fields that hold prompts; each operation's own are tested with the reading of requests (test_request)."""

import pytest

from gateway.openai.errors import BadRequestError
from gateway.openai.native_prompts import fields_prompt, invocation_prompt, no_prompt, pooling_prompt
from gateway.openai.prompt import Prompt


def test_the_first_field_that_is_there_is_read():
    read = fields_prompt("a", "b")
    assert Prompt("x") == read({"b": "y", "a": "x"})
    assert Prompt("y") == read({"b": "y", "a": None})
    assert Prompt() == read({"c": "z"})


@pytest.mark.parametrize("read", [fields_prompt("input"), pooling_prompt, invocation_prompt])
@pytest.mark.parametrize("value", [3, True, [1, "a"], ["a", 1], [{}, 3], [[1], "a"]])
def test_a_field_of_another_type_is_refused(read, value):
    with pytest.raises(BadRequestError) as refused:
        read({"input": value})
    assert refused.value.param is not None
    assert refused.value.param.startswith("input")


def test_what_needs_no_gpu_has_no_prompt():
    assert Prompt() == no_prompt({"prompt": "x", "messages": 3})
