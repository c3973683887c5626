"""Pictures, recordings and files: wherever they are nested they cost what is stated, and text stays text."""

import time
import timeit
from base64 import b64encode, encodebytes
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.openai.errors import BadRequestError
from gateway.openai.media import (
    AUDIO_TOKENS,
    DIGEST_STEPS,
    FILE_TOKENS,
    IMAGE_TOKENS,
    MAX_MEDIA,
    MAX_SEARCHED,
    MAX_STEPS,
    SEALED_TOKENS,
    VIDEO_TOKENS,
    MediaCount,
)
from gateway.openai.operations import Operation
from gateway.openai.prompt import MAX_PARTS, Prompt
from gateway.openai.request import parse_request

BASE64 = b64encode(bytes(range(256)) * 400).decode()
"""136 kB, as a screenshot has."""
LINES = encodebytes(bytes(range(256)) * 400).decode()
"""The same in lines of 76 characters, as MIME has it."""
URL = f"data:image/png;base64,{BASE64}"
PDF = f"data:application/pdf;base64,{BASE64}"


def prompt_of(operation: Operation, **fields: Any) -> Prompt:
    return parse_request(operation, "", orjson.dumps({"model": "m", **fields})).prompt


def chat(*parts: Any, role: str = "user") -> Prompt:
    return prompt_of(Operation.CHAT, messages=[{"role": role, "content": list(parts)}])


def messages(*parts: Any) -> Prompt:
    return prompt_of(Operation.MESSAGES, max_tokens=5, messages=[{"role": "user", "content": list(parts)}])


def responses(*items: Any) -> Prompt:
    return prompt_of(Operation.RESPONSES, input=list(items))


def source(media_type: str = "image/png") -> dict[str, str]:
    return {"type": "base64", "media_type": media_type, "data": BASE64}


def a_result(*parts: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "t", "content": list(parts)}


def an_output(output: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": "c", "output": output}


CASES: dict[str, tuple[Prompt, int]] = {
    "chat image_url": (chat({"type": "image_url", "image_url": {"url": URL}}), IMAGE_TOKENS),
    "chat image_url without a type": (chat({"image_url": URL}), IMAGE_TOKENS),
    "chat input_audio": (chat({"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}}), AUDIO_TOKENS),
    "chat file": (chat({"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}}), FILE_TOKENS),
    "chat video": (chat({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}), VIDEO_TOKENS),
    "chat tool result": (chat({"type": "image_url", "image_url": {"url": URL}}, role="tool"), IMAGE_TOKENS),
    "chat unknown part": (chat({"type": "screenshot", "payload": {"deep": [{"url": URL}]}}), IMAGE_TOKENS),
    "chat two pictures": (chat(*[{"type": "image_url", "image_url": {"url": URL}}] * 2), 2 * IMAGE_TOKENS),
    "chat tool call": (
        prompt_of(
            Operation.CHAT,
            messages=[
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "f", "arguments": orjson.dumps({"i": URL}).decode()}}],
                }
            ],
        ),
        IMAGE_TOKENS,
    ),
    "messages image": (messages({"type": "image", "source": source()}), IMAGE_TOKENS),
    "messages document": (messages({"type": "document", "source": source("application/pdf")}), FILE_TOKENS),
    "messages tool result": (messages(a_result({"type": "image", "source": source()})), IMAGE_TOKENS),
    "messages nested tool result": (messages(a_result(a_result({"type": "image", "source": source()}))), IMAGE_TOKENS),
    "messages document of parts": (
        messages(
            {
                "type": "document",
                "source": {"type": "content", "content": [{"type": "image", "source": source()}]},
            }
        ),
        IMAGE_TOKENS,
    ),
    "messages redacted thinking": (messages({"type": "redacted_thinking", "data": BASE64}), SEALED_TOKENS),
    "messages signature": (messages({"type": "thinking", "thinking": "so", "signature": BASE64}), 0),
    "messages system": (
        prompt_of(
            Operation.MESSAGES,
            system=[{"type": "image", "source": source()}],
            messages=[{"role": "user", "content": "hi"}],
        ),
        IMAGE_TOKENS,
    ),
    "responses input_image": (
        responses({"role": "user", "content": [{"type": "input_image", "image_url": URL}]}),
        IMAGE_TOKENS,
    ),
    "responses input_file": (
        responses({"role": "user", "content": [{"type": "input_file", "file_data": PDF}]}),
        FILE_TOKENS,
    ),
    "responses output list": (responses(an_output([{"type": "input_image", "image_url": URL}])), IMAGE_TOKENS),
    "responses output file": (responses(an_output([{"type": "input_file", "file_data": PDF}])), FILE_TOKENS),
    "responses output text": (responses(an_output(orjson.dumps({"shot": URL}).decode())), IMAGE_TOKENS),
    "responses custom output": (
        responses({"type": "custom_tool_call_output", "output": [{"type": "input_image", "image_url": URL}]}),
        IMAGE_TOKENS,
    ),
    "responses MCP output": (
        responses(an_output([{"type": "image", "data": BASE64, "mimeType": "image/png"}])),
        IMAGE_TOKENS,
    ),
    "responses MCP resource": (
        responses(an_output({"type": "resource", "resource": {"blob": BASE64, "mimeType": "audio/wav"}})),
        AUDIO_TOKENS,
    ),
    "responses screenshot": (
        responses({"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": URL}}),
        IMAGE_TOKENS,
    ),
    "responses generated image": (responses({"type": "image_generation_call", "result": BASE64}), IMAGE_TOKENS),
    "responses reasoning": (
        responses({"type": "reasoning", "summary": [], "encrypted_content": BASE64}),
        SEALED_TOKENS,
    ),
    "sealed output of code": (
        messages({"type": "code_execution_tool_result", "content": {"encrypted_stdout": BASE64}}),
        SEALED_TOKENS,
    ),
    "lines of base64": (
        messages(a_result({"type": "resource", "resource": {"blob": LINES, "mimeType": "image/png"}})),
        IMAGE_TOKENS,
    ),
    "lines in a data URL": (responses(an_output(f"data:image/png;base64,{LINES}")), IMAGE_TOKENS),
    "embeddings parts": (
        prompt_of(Operation.EMBEDDINGS, input=[{"type": "image_url", "image_url": {"url": URL}}]),
        IMAGE_TOKENS,
    ),
    "embeddings messages": (
        prompt_of(
            Operation.EMBEDDINGS,
            messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URL}}]}],
        ),
        IMAGE_TOKENS,
    ),
    "rerank document": (
        prompt_of(
            Operation.RERANK,
            query="q",
            documents=[{"content": [{"type": "image_url", "image_url": {"url": URL}}]}],
        ),
        IMAGE_TOKENS,
    ),
    "score side": (
        prompt_of(Operation.SCORE, text_1="q", text_2={"content": [{"type": "image_url", "image_url": {"url": URL}}]}),
        IMAGE_TOKENS,
    ),
    "tools": (
        prompt_of(
            Operation.CHAT,
            tools=[{"type": "function", "function": {"name": "f", "parameters": {"default": URL}}}],
            messages=[{"role": "user", "content": "hi"}],
        ),
        IMAGE_TOKENS,
    ),
    "responses tools beside a text": (
        prompt_of(Operation.RESPONSES, tools=[{"type": "x", "icon": URL}], input="hi"),
        IMAGE_TOKENS,
    ),
    "generate": (prompt_of(Operation.GENERATE, text="hi", image_data=BASE64), IMAGE_TOKENS),
    "generate many": (prompt_of(Operation.GENERATE, text="hi", image_data=[URL, None, BASE64]), 2 * IMAGE_TOKENS),
    "generate a batch": (
        prompt_of(Operation.GENERATE, text=["a", "b"], image_data=[[URL], [URL, {"url": URL}]]),
        3 * IMAGE_TOKENS,
    ),
    "generate from ids": (prompt_of(Operation.GENERATE, input_ids=[1], audio_data=BASE64), AUDIO_TOKENS),
    "generate from embeddings": (prompt_of(Operation.GENERATE, video_data=BASE64), VIDEO_TOKENS),
    "encode": (prompt_of(Operation.ENCODE, text="hi", image_data=[BASE64]), IMAGE_TOKENS),
    "embed images": (prompt_of(Operation.EMBED, images=[URL]), IMAGE_TOKENS),
    "completion embeds": (prompt_of(Operation.COMPLETIONS, prompt_embeds=BASE64), FILE_TOKENS),
    "completion embeds beside text": (prompt_of(Operation.COMPLETIONS, prompt="a", prompt_embeds=BASE64), FILE_TOKENS),
}


@pytest.mark.parametrize("name", CASES)
def test_media_cost_what_is_stated_and_no_text(name: str):
    prompt, tokens = CASES[name]
    assert tokens == prompt.media_tokens
    assert 400 > prompt.text_bytes


TEXTS: dict[str, Prompt] = {
    "message": prompt_of(Operation.CHAT, messages=[{"role": "user", "content": URL}]),
    "text part": chat({"type": "text", "text": URL}),
    "tool message": prompt_of(Operation.CHAT, messages=[{"role": "tool", "content": BASE64}]),
    "tool result": messages(a_result({"type": "text", "text": BASE64})),
    "document of text": messages(
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": BASE64}}
    ),
    "responses message": responses({"role": "user", "content": [{"type": "input_text", "text": URL}]}),
    "responses output": responses(an_output(BASE64)),
    "thinking": messages({"type": "thinking", "thinking": BASE64}),
    "words under data": responses(an_output([{"data": "many words " * 10_000}])),
    "completion": prompt_of(Operation.COMPLETIONS, prompt=URL),
    "embeddings": prompt_of(Operation.EMBEDDINGS, input=[BASE64]),
    "rerank": prompt_of(Operation.RERANK, query="q", documents=[BASE64]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_text_whatever_it_looks_like(name: str):
    assert 0 == TEXTS[name].media_tokens
    assert 100_000 < TEXTS[name].text_bytes


def test_equal_media_are_equal_text_and_others_are_not():
    one, same, other = (
        responses(an_output([{"type": "input_image", "image_url": f"data:image/png;base64,{data}"}]))
        for data in (BASE64, BASE64, BASE64[:-8] + "AAAAAAA=")
    )
    assert one.text == same.text != other.text


def test_text_around_a_data_url_stays():
    prompt = responses(an_output(f"before {URL} after {PDF}."))
    assert IMAGE_TOKENS + FILE_TOKENS == prompt.media_tokens
    assert "before " in prompt.text
    assert " after " in prompt.text


def test_text_in_the_lines_after_a_data_url_stays():
    prompt = responses(an_output(f"data:image/png;base64,{LINES}first\nsecond\n"))
    assert IMAGE_TOKENS == prompt.media_tokens
    assert "second" in prompt.text


def test_what_nests_deeper_than_json_is_written_is_refused():
    deep: Any = "x"
    for _ in range(300):
        deep = [deep]
    with pytest.raises(BadRequestError):
        MediaCount().text({"a": deep}, "input")


def test_a_request_is_examined_up_to_a_bound_and_the_rest_is_text():
    pictures = [[{"image_url": "u"}] * 10] * (MAX_STEPS // 20)  # each takes one step more than its digest
    media = MediaCount()
    text = media.text(pictures, "input")
    seen = media.tokens // IMAGE_TOKENS
    assert MAX_STEPS // (DIGEST_STEPS + 3) < seen < MAX_STEPS // (DIGEST_STEPS + 1)
    assert 10 * len(pictures) - seen == text.count("image_url")


def test_a_long_list_of_numbers_takes_no_picture_beside_it_its_place():
    media = MediaCount()
    media.text({"boxes": [1] * 4 * MAX_STEPS, "picture": {"image_url": URL}}, "input")
    assert IMAGE_TOKENS == media.tokens


@pytest.mark.parametrize("part", [
    {"x": ["base64", *[1] * 250_000]}, {"x": ["base64", *["a"] * 99_000]}, {"x": ["base64", *[[]] * 49_000]},
    {"x": "a" * 1_000_000}, {"x": [{"data": "a"}] * 49_000},
])  # fmt: skip
def test_an_object_of_any_shape_takes_little_more_than_writing_it(part: dict[str, Any]):
    def seconds(call: Callable[[], object]) -> float:
        return min(timeit.repeat(call, timer=time.process_time, number=1, repeat=5))

    # Each took 15 to 40 ms more; the slack is for what the examined values take.
    assert seconds(lambda: MediaCount().text(part, "input")) < 2 * seconds(lambda: orjson.dumps(part)) + 0.008


@pytest.mark.parametrize("read", [
    lambda items: {"messages": [{"role": "user", "tool_calls": [item]} for item in items]},
    lambda items: {"messages": [{"role": "user", "content": [item]} for item in items[:MAX_PARTS]]},
])  # fmt: skip
@pytest.mark.parametrize("item", [{"type": "base64", "data": "a"}, {"data": BASE64[:300]}, {"a": ";base64,"}])
def test_a_large_medium_is_found_however_many_small_ones_stand_before_it(read: Any, item: dict[str, Any]):
    prompt = prompt_of(Operation.CHAT, **read([*[item] * (MAX_PARTS - 1), {"picture": URL}]))
    assert BASE64[1000:1100] not in prompt.text


def test_the_arguments_of_a_tool_are_no_media_whatever_their_names():
    tools = [{"name": "f", "parameters": {"properties": {"image_url": {"type": "string"}, "data": {"type": "image"}}}}]
    prompt = prompt_of(Operation.CHAT, tools=tools, messages=[{"role": "user", "content": "hi"}])
    assert 0 == prompt.media_tokens
    assert prompt.text.startswith(orjson.dumps(tools).decode())


def test_media_beside_a_prompt_have_a_maximum():
    with pytest.raises(BadRequestError, match=f"must have at most {MAX_MEDIA}"):
        prompt_of(Operation.GENERATE, text="hi", image_data=[["a"] * MAX_MEDIA, "a"])


@pytest.mark.parametrize("size", [100, MAX_SEARCHED + 1])
def test_an_object_without_media_is_written_as_it_is(size: int):
    part = {"a": ["x" * size, 1.5, {"b": None}]}
    assert orjson.dumps(part).decode() == MediaCount().text(part, "input")


@pytest.mark.parametrize("kind", [["image"], {"a": 1}, 7, None])
def test_an_odd_type_is_no_error(kind: Any):
    assert 0 == chat({"type": kind, "x": "y"}).media_tokens
