"""The core flow of LiteLLM as a client, by OpenAI's route; its Anthropic route sends the key as `x-api-key`."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network at the start

import litellm
from common import EMPTY_KEY, KEY, LONG, MODEL, PATIENT, PROMPT, ROOT, WEATHER, WRONG_KEY, printed, read_some


def chat(model=MODEL, **changes):
    asked = {"messages": PROMPT, "max_tokens": 9, "api_base": f"{ROOT}/v1", "api_key": KEY, "max_retries": 3} | changes
    return litellm.completion(model=f"openai/{model}", **asked)


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
        chat(api_key=EMPTY_KEY)
    except litellm.RateLimitError as error:
        return error.status_code


def wrong_key():
    try:
        chat(api_key=WRONG_KEY)
    except litellm.AuthenticationError as error:
        return error.status_code


def cancelled():
    stream = chat(stream=True, max_tokens=LONG)
    read = read_some(stream)
    stream.completion_stream.response.close()
    return read


def by_anthropics_route():
    asked = {"messages": PROMPT, "max_tokens": 9, "api_base": ROOT, "api_key": KEY}
    return litellm.completion(model=f"anthropic/{MODEL}", **asked).choices[0].message.content


printed(
    chat=chatted, stream=streamed, tool=used_a_tool, wrong_key=wrong_key, cancelled=cancelled,
    retried=lambda: [chat(PATIENT).choices[0].message.content for _ in range(3)], refused_for_ever=refused_for_ever,
    by_anthropics_route=by_anthropics_route,
)  # fmt: skip
