"""The core flow of LiteLLM as a client, by OpenAI's route; its Anthropic route sends the key as `x-api-key`."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network at the start

import litellm
from common import EMPTY_KEY, KEY, LONG, MODEL, PROMPT, ROOT, WRONG_KEY, chat_steps, printed, read_some, status_of


def chat(model=MODEL, **changes):
    asked = {"messages": PROMPT, "max_tokens": 9, "api_base": f"{ROOT}/v1", "api_key": KEY, "max_retries": 3} | changes
    return litellm.completion(model=f"openai/{model}", **asked)


def cancelled():
    stream = chat(stream=True, max_tokens=LONG)
    read = read_some(stream)
    stream.completion_stream.response.close()
    return read


def by_anthropics_route():
    asked = {"messages": PROMPT, "max_tokens": 9, "api_base": ROOT, "api_key": KEY}
    return litellm.completion(model=f"anthropic/{MODEL}", **asked).choices[0].message.content


printed(
    **chat_steps(chat), cancelled=cancelled,
    refused_for_ever=lambda: status_of(litellm.RateLimitError, lambda: chat(api_key=EMPTY_KEY)),
    wrong_key=lambda: status_of(litellm.AuthenticationError, lambda: chat(api_key=WRONG_KEY)),
    by_anthropics_route=by_anthropics_route,
)  # fmt: skip
