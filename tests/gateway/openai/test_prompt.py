import sys

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai.errors import BadRequestError
from gateway.openai.prompt import (
    MAX_DOCUMENTS,
    MAX_MESSAGES,
    MAX_PARTS,
    MAX_PROMPTS,
    MAX_TOOLS,
    Prompt,
    chat_prompt,
    completion_prompt,
    input_prompt,
    optional_text_prompt,
    rerank_prompt,
    responses_prompt,
    score_prompt,
    text_prompt,
)

ORDERS = st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool"]), st.text()), min_size=2)


def says(role, content):
    return {"role": role, "content": content}


def deep(levels):
    return orjson.loads(b"[" * levels + b"]" * levels)


def refused_field(read, body):
    with pytest.raises(BadRequestError) as refused:
        read(body)
    assert refused.value.param is not None
    assert refused.value.message.startswith(refused.value.param + " = ")
    return refused.value.param


def test_chat_text_is_tools_then_system_then_messages_in_order():
    prompt = chat_prompt({
        "messages": [says("user", "hi"), says("assistant", "ho")],
        "system": [{"type": "text", "text": "Be brief."}],
        "tools": [{"name": "f"}],
    })  # fmt: skip

    assert '[{"name":"f"}]\nBe brief.\nuser\nhi\nassistant\nho' == prompt.text


@given(ORDERS)
def test_the_next_turn_of_a_conversation_begins_with_the_whole_turn_before(order):
    messages = [says(role, content) for role, content in order]

    before = chat_prompt({"messages": messages[:-1]}).encoded()

    assert chat_prompt({"messages": messages}).encoded().startswith(before)


@pytest.mark.parametrize("part_type", ["text", "input_text", "output_text"])
def test_a_list_of_text_parts_says_what_the_parts_say(part_type):
    parts = [{"type": part_type, "text": "a"}, "b"]

    assert "user\na\nb" == chat_prompt({"messages": [says("user", parts)]}).text


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}},
        {"image_url": "data:image/png;base64," + "A" * 100_000},
        {"type": "image", "source": {"type": "base64", "data": "A" * 100_000}},
        {"type": "input_audio", "input_audio": {"data": "A" * 100_000}},
        {"type": "tool_result", "content": [{"type": "image", "source": {"data": "A" * 100_000}}]},
    ],
)
def test_media_counts_as_a_short_digest_that_tells_two_apart(part):
    prompt = chat_prompt({"messages": [says("user", [part])]})
    other = chat_prompt({"messages": [says("user", [orjson.loads(orjson.dumps(part).replace(b"AAAA", b"AAAB"))])]})

    assert len("user\n") + 32 == prompt.text_bytes
    assert prompt == chat_prompt({"messages": [says("user", [part])]})
    assert prompt != other


def test_tool_calls_and_tool_results_are_part_of_the_text():
    prompt = chat_prompt({
        "messages": [
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "input": {"x": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "content": "42"}]},
            {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "43"}]}]},
            {"role": "assistant"},
        ]
    })  # fmt: skip

    assert [
        "assistant", '[{"function":{"name":"f"}}]',
        "assistant", '{"type":"tool_use","input":{"x":1}}',
        "user", '{"type":"tool_result","content":"42"}',
        "user", "43",
        "assistant",
    ] == prompt.text.split("\n")  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        (None, "messages"),
        ([], "messages"),
        ("hi", "messages"),
        ({"role": "user"}, "messages"),
        (["hi"], "messages[0]"),
        ([says("user", "a"), {"content": "b"}], "messages[1].role"),
        ([says(3, "a")], "messages[0].role"),
        ([says("user", 3)], "messages[0].content"),
        ([says("user", {"text": "a"})], "messages[0].content"),
        ([says("user", [3])], "messages[0].content"),
        ([says("user", [{"type": "tool_result", "content": [None]}])], "messages[0].content"),
    ],
)
def test_wrong_messages_are_refused_by_the_name_of_what_is_wrong(messages, field):
    assert field == refused_field(chat_prompt, {"messages": messages})


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [says("user", "a")], "tools": deep(300)},
        {"messages": [says("user", [{"type": "x", "y": deep(1000)}])]},
        {"messages": [{"role": "assistant", "tool_calls": deep(1000)}]},
    ],
)
def test_what_is_nested_too_deep_to_be_written_again_is_refused(body):
    with pytest.raises(BadRequestError, match="must be nested less than 254 deep"):
        chat_prompt(body)


def test_tool_results_inside_tool_results_do_not_exhaust_the_stack():
    part = {"type": "text", "text": "core"}
    for _ in range(sys.getrecursionlimit() // 2):
        part = {"type": "tool_result", "content": [part]}

    with pytest.raises(BadRequestError, match="nested"):
        chat_prompt({"messages": [says("user", [part])]})


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("hello", Prompt("hello")),
        (["a", "b"], Prompt("a\nb", count=2)),
        ([1, 2, 70_000], Prompt(token_ids=b"\1\0\0\0\2\0\0\0\x70\x11\1\0")),
        ([[1], [2, 3]], Prompt(token_ids=b"\1\0\0\0\2\0\0\0\3\0\0\0", count=2)),
    ],
)
def test_a_prompt_is_a_string_strings_token_ids_or_lists_of_them(prompt, expected):
    assert expected == completion_prompt({"prompt": prompt})
    assert expected == input_prompt({"input": prompt})


def test_token_ids_are_counted_exactly_and_are_not_text():
    prompt = completion_prompt({"prompt": [[1, 2], [3]]})

    assert (3, 0) == (prompt.token_count, prompt.text_bytes)
    assert completion_prompt({"prompt": [1, 2, 3, 4]}).encoded().startswith(prompt.encoded())


@pytest.mark.parametrize(
    ("prompt", "field"),
    [
        (None, "prompt"),
        (3, "prompt"),
        ([], "prompt"),
        ({}, "prompt"),
        (["a", 1], "prompt[1]"),
        ([1, "a"], "prompt"),
        ([1, -1], "prompt"),
        ([1, 2**40], "prompt"),
        ([1, 1.5], "prompt"),
        ([[1], 2], "prompt[1]"),
        ([[1], ["a"]], "prompt[1]"),
        ([{}], "prompt[0]"),
    ],
)
def test_other_prompts_are_refused(prompt, field):
    assert field == refused_field(completion_prompt, {"prompt": prompt})


def test_embedded_prompts_stand_for_text():
    assert "" == completion_prompt({"prompt_embeds": "AAAA"}).text


def test_inputs_may_be_messages_or_parts():
    assert "user\nhi" == input_prompt({"messages": [says("user", "hi")]}).text
    assert "a\nb" == input_prompt({"input": [{"text": "a"}, {"text": "b"}]}).text
    assert "input" == refused_field(input_prompt, {})


def test_responses_text_is_tools_instructions_and_items():
    items = [says("user", [{"type": "input_text", "text": "hi"}]), {"type": "function_call_output", "output": "42"}]

    assert (
        "[1]\nBe brief.\nuser\nhi" == responses_prompt({"tools": [1], "instructions": "Be brief.", "input": "hi"}).text
    )
    assert 'user\nhi\n{"type":"function_call_output","output":"42"}' == responses_prompt({"input": items}).text


@pytest.mark.parametrize("said", [None, 3, [], {}, [3], [says("user", 3)]])
def test_other_responses_inputs_are_refused(said):
    assert "input" == refused_field(responses_prompt, {"input": said})


def test_rerank_text_begins_with_the_query():
    assert "q\na\nb" == rerank_prompt({"documents": ["a", {"text": "b"}], "query": "q"}).text
    assert "query" == refused_field(rerank_prompt, {"documents": ["a"]})
    assert "documents" == refused_field(rerank_prompt, {"query": "q"})
    assert "documents" == refused_field(rerank_prompt, {"query": "q", "documents": 3})


def test_score_takes_both_sides_by_any_of_their_names():
    assert "a\nb\nc" == score_prompt({"text_1": "a", "text_2": ["b", "c"]}).text
    assert "a\nb" == score_prompt({"queries": "a", "documents": ["b"]}).text
    assert "a\nb" == score_prompt({"items": "b", "text_2": "not read", "query": "a", "data_1": "not read"}).text


def test_images_have_one_string_and_audio_may_have_none():
    assert "a cat" == text_prompt({"prompt": "a cat"}).text
    assert "prompt" == refused_field(text_prompt, {"prompt": ["a cat"]})
    assert ("", "Names: Bo") == (optional_text_prompt({}).text, optional_text_prompt({"prompt": "Names: Bo"}).text)


@given(st.text())
def test_size_is_that_of_the_encoded_text(text):
    prompt = completion_prompt({"prompt": text})

    assert len(prompt.encoded()) == prompt.text_bytes


LISTS = [
    pytest.param(completion_prompt, "prompt", MAX_PROMPTS, lambda n: {"prompt": ["a"] * n}, id="prompts"),
    pytest.param(completion_prompt, "prompt", MAX_PROMPTS, lambda n: {"prompt": [[1]] * n}, id="prompts of ids"),
    pytest.param(input_prompt, "input", MAX_PROMPTS, lambda n: {"input": ["a"] * n}, id="inputs"),
    pytest.param(input_prompt, "input", MAX_PARTS, lambda n: {"input": [{}] * n}, id="parts of an input"),
    pytest.param(chat_prompt, "messages", MAX_MESSAGES, lambda n: {"messages": [says("user", "a")] * n}, id="messages"),
    pytest.param(
        input_prompt, "messages", MAX_MESSAGES, lambda n: {"messages": [says("user", "a")] * n}, id="to embed"
    ),
    pytest.param(
        chat_prompt, "messages[0].content", MAX_PARTS, lambda n: {"messages": [says("user", [{}] * n)]}, id="parts"
    ),
    pytest.param(
        chat_prompt,
        "messages[0].content",
        MAX_PARTS,
        lambda n: {"messages": [says("user", [{"type": "tool_result", "content": ["a"] * n}])]},
        id="parts of a result",
    ),
    pytest.param(
        chat_prompt, "system", MAX_PARTS, lambda n: {"system": [{}] * n, "messages": [says("user", "a")]}, id="system"
    ),
    pytest.param(
        chat_prompt, "tools", MAX_TOOLS, lambda n: {"tools": [{}] * n, "messages": [says("user", "a")]}, id="tools"
    ),
    pytest.param(responses_prompt, "input", MAX_MESSAGES, lambda n: {"input": [{"type": "f"}] * n}, id="items"),
    pytest.param(responses_prompt, "tools", MAX_TOOLS, lambda n: {"tools": [{}] * n, "input": "a"}, id="more tools"),
    pytest.param(
        rerank_prompt, "documents", MAX_DOCUMENTS, lambda n: {"query": "a", "documents": ["a"] * n}, id="documents"
    ),
    pytest.param(score_prompt, "queries", MAX_PROMPTS, lambda n: {"queries": [{}] * n, "items": "a"}, id="queries"),
    pytest.param(score_prompt, "text_2", MAX_DOCUMENTS, lambda n: {"text_1": "a", "text_2": ["a"] * n}, id="texts"),
]


@pytest.mark.parametrize(("read", "field", "most", "body_of"), LISTS)
def test_every_list_that_is_read_has_a_maximum_which_its_refusal_names(read, field, most, body_of):
    assert read(body_of(most))
    with pytest.raises(BadRequestError, match=f"must have at most {most}") as refused:
        read(body_of(most + 1))
    assert field == refused.value.param


@pytest.mark.parametrize(
    ("read", "body_of"),
    [
        (chat_prompt, lambda n: {"messages": [says("user", [{}] * MAX_PARTS)] * n}),
        (responses_prompt, lambda n: {"input": [says("user", [{}] * MAX_PARTS)] * n}),
    ],
)
def test_the_parts_of_all_messages_together_have_a_maximum(read, body_of):
    assert read(body_of(1))
    with pytest.raises(BadRequestError, match=f"= {2 * MAX_PARTS} content parts, must have at most {MAX_PARTS}"):
        read(body_of(2))


@pytest.mark.parametrize(
    ("body", "repeated"),
    [
        ({"query": "four", "documents": ["a", "b", "c"]}, 8),
        ({"query": "four", "documents": ["a"]}, 0),
        ({"text_1": ["aa", "bb"], "text_2": ["a", "b"]}, 0),
        ({"text_1": [1, 2, 3], "text_2": [[1], [2]]}, 3),
        ({"items": "a"}, 0),
        ({}, 0),
    ],
)
def test_a_query_is_read_again_for_each_further_document(body, repeated):
    assert repeated == score_prompt(body).repeated_bytes
