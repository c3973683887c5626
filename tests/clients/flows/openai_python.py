"""The core flow of OpenAI's client for Python."""

import openai
from common import EMPTY_KEY, KEY, LONG, MODEL, PATIENT, PROMPT, ROOT, WEATHER, WRONG_KEY, printed, read_some


def a_client(key=KEY):
    return openai.OpenAI(base_url=f"{ROOT}/v1", api_key=key, max_retries=3)


client = a_client()


def chat(model=MODEL, client=client, **changes):
    return client.chat.completions.create(**{"model": model, "messages": PROMPT, "max_tokens": 9} | changes)


def chatted():
    answer = chat()
    return {"text": answer.choices[0].message.content, "output_tokens": answer.usage.completion_tokens}


def streamed():
    return [chunk.choices[0].delta.content for chunk in chat(stream=True)]


def used_a_tool():
    question = {"tools": [WEATHER], "max_tokens": None}
    message = chat(**question).choices[0].message
    (call,) = message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    final = chat(**question, messages=[*PROMPT, message, result]).choices[0].message
    return {"name": call.function.name, "arguments": call.function.arguments, "text": final.content}


def refused_for_ever():
    try:
        chat(client=a_client(EMPTY_KEY))
    except openai.RateLimitError as error:
        return error.status_code


def wrong_key():
    try:
        a_client(WRONG_KEY).models.list()
    except openai.AuthenticationError as error:
        return error.status_code


def cancelled():
    with chat(stream=True, max_tokens=LONG) as stream:
        return read_some(stream)


printed(
    chat=chatted, stream=streamed, tool=used_a_tool, wrong_key=wrong_key, cancelled=cancelled,
    retried=lambda: [chat(PATIENT).choices[0].message.content for _ in range(3)], refused_for_ever=refused_for_ever,
)  # fmt: skip
