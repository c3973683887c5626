"""The core flow of langchain-openai."""

import openai
from common import EMPTY_KEY, KEY, LONG, MODEL, PATIENT, ROOT, WEATHER, WRONG_KEY, printed, read_some, status_of
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

PROMPT = [HumanMessage("How is the weather in Paris?")]


def a_chat(model=MODEL, key=KEY, max_tokens=9):
    return ChatOpenAI(model=model, base_url=f"{ROOT}/v1", api_key=key, max_retries=3, max_tokens=max_tokens)


def chatted():
    answer = a_chat().invoke(PROMPT)
    return {"text": answer.content, "output_tokens": answer.usage_metadata["output_tokens"]}


def used_a_tool():
    with_tool = a_chat(max_tokens=None).bind_tools([WEATHER])
    answer = with_tool.invoke(PROMPT)
    (call,) = answer.tool_calls
    final = with_tool.invoke([*PROMPT, answer, ToolMessage("sunny", tool_call_id=call["id"])])
    return {"name": call["name"], "arguments": call["args"], "text": final.content}


def cancelled():
    stream = a_chat(max_tokens=LONG).stream(PROMPT)
    read = read_some(stream)
    stream.close()
    return read


def streamed():
    return [chunk.content for chunk in a_chat().stream(PROMPT)]


printed(
    chat=chatted, stream=streamed, tool=used_a_tool, cancelled=cancelled,
    retried=lambda: [a_chat(PATIENT).invoke(PROMPT).content for _ in range(3)],
    refused_for_ever=lambda: status_of(openai.RateLimitError, lambda: a_chat(key=EMPTY_KEY).invoke(PROMPT)),
    wrong_key=lambda: status_of(openai.AuthenticationError, lambda: a_chat(key=WRONG_KEY).invoke(PROMPT)),
)  # fmt: skip
