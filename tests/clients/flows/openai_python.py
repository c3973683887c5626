"""The core flow of OpenAI's client for Python."""

import openai
from common import EMPTY_KEY, KEY, LONG, MODEL, PROMPT, ROOT, WRONG_KEY, chat_steps, printed, read_some, status_of


def a_client(key=KEY):
    return openai.OpenAI(base_url=f"{ROOT}/v1", api_key=key, max_retries=3)


client = a_client()


def chat(model=MODEL, client=client, **changes):
    return client.chat.completions.create(**{"model": model, "messages": PROMPT, "max_tokens": 9} | changes)


def cancelled():
    with chat(stream=True, max_tokens=LONG) as stream:
        return read_some(stream)


printed(
    **chat_steps(chat), cancelled=cancelled,
    refused_for_ever=lambda: status_of(openai.RateLimitError, lambda: chat(client=a_client(EMPTY_KEY))),
    wrong_key=lambda: status_of(openai.AuthenticationError, a_client(WRONG_KEY).models.list),
)  # fmt: skip
