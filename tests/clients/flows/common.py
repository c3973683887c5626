"""The parts that the Python flows share: the addresses and questions, and the report of the results."""

import json
import os
import sys
import traceback
from itertools import islice

ROOT, KEY, EMPTY_KEY, MODEL, PATIENT = (os.environ[name] for name in ("ROOT", "KEY", "EMPTY_KEY", "MODEL", "PATIENT"))
WRONG_KEY = "sk-wrong"
PROMPT = [{"role": "user", "content": "How is the weather in Paris?"}]
LONG = 3000
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": SCHEMA}}


def read_some(stream):
    """Read three events, and leave."""
    return len(list(islice(stream, 3)))


def status_of(kind, ask):
    """Return the status of the error of this kind that `ask` raises."""
    try:
        ask()
    except kind as error:
        return error.status_code


def chat_steps(chat):
    """Return the steps that are the same for every `chat(model, **changes)` that answers with OpenAI's objects."""

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

    def retried():
        return [chat(PATIENT).choices[0].message.content for _ in range(3)]

    return {"chat": chatted, "stream": streamed, "tool": used_a_tool, "retried": retried}


def printed(**steps):
    """Take each step, and print what came of all as one JSON object; a step that raises has come to nothing."""
    json.dump({name: _taken(step) for name, step in steps.items()}, sys.stdout)


def _taken(step):
    try:
        return step()
    except Exception:  # noqa: BLE001 - the test that reads the result fails, and this says why
        traceback.print_exc()
        return None
