"""The core flow of Anthropic's client for Python."""

import anthropic
from common import EMPTY_KEY, KEY, LONG, MODEL, PATIENT, PROMPT, ROOT, SCHEMA, WRONG_KEY, printed, read_some, status_of

TOOLS = [{"name": "get_weather", "description": "Weather", "input_schema": SCHEMA}]


def a_client(key=KEY):
    return anthropic.Anthropic(base_url=ROOT, api_key=key, max_retries=3)


client = a_client()


def message(model=MODEL, client=client, **changes):
    return client.messages.create(**{"model": model, "messages": PROMPT, "max_tokens": 9} | changes)


def chatted():
    answer = message()
    return {"text": answer.content[0].text, "output_tokens": answer.usage.output_tokens}


def streamed():
    with client.messages.stream(model=MODEL, messages=PROMPT, max_tokens=9) as stream:
        return list(stream.text_stream)


def used_a_tool():
    question = {"tools": TOOLS, "max_tokens": 100}
    (used,) = message(**question).content
    result = {"type": "tool_result", "tool_use_id": used.id, "content": "sunny"}
    turns = [{"role": "assistant", "content": [used]}, {"role": "user", "content": [result]}]
    final = message(**question, messages=[*PROMPT, *turns])
    return {"name": used.name, "arguments": used.input, "text": final.content[0].text}


def error_type():
    try:
        message("unknown-model")
    except anthropic.NotFoundError as error:
        return error.body["type"], error.body["error"]["type"]


def cancelled():
    with client.messages.stream(model=MODEL, messages=PROMPT, max_tokens=LONG) as stream:
        return read_some(stream)


printed(
    chat=chatted, stream=streamed, tool=used_a_tool, cancelled=cancelled,
    retried=lambda: [message(PATIENT).content[0].text for _ in range(3)], error_type=error_type,
    refused_for_ever=lambda: status_of(anthropic.RateLimitError, lambda: message(client=a_client(EMPTY_KEY))),
    wrong_key=lambda: status_of(anthropic.AuthenticationError, lambda: message(client=a_client(WRONG_KEY))),
)  # fmt: skip
