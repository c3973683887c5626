"""The official client works unchanged: it only gets a base URL, a key that nobody reads, and the `user` header."""

from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.support.stack import PROMPT, Stack, on

pytestmark = on("http2-metadata", "http2-ext_proc")


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    with a_client(stack, stack.user()) as client:
        yield client


def a_client(stack: Stack, user: str) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=stack.variables["GATEWAY"] + "/v1",
        api_key="none",
        default_headers={"user": user},
        max_retries=0,
        http_client=httpx.Client(trust_env=False),
    )


def test_a_chat(stack: Stack, client: openai.OpenAI):
    answer = client.chat.completions.create(model=stack.model, messages=PROMPT, temperature=0.7, max_tokens=9)

    assert (stack.model, "length") == (answer.model, answer.choices[0].finish_reason)
    assert answer.choices[0].message.content
    assert (12, 9) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)


def test_a_streamed_chat(stack: Stack, client: openai.OpenAI):
    stream = client.chat.completions.create(model=stack.model, messages=PROMPT, max_tokens=9, stream=True)
    choices = [chunk.choices[0] for chunk in stream]  # no event without choices, as the client asked for none

    assert "".join(choice.delta.content or "" for choice in choices)
    assert "length" == choices[-1].finish_reason


def test_a_streamed_chat_with_usage(stack: Stack, client: openai.OpenAI):
    stream = client.chat.completions.create(
        model=stack.model, messages=PROMPT, max_tokens=9, stream=True, stream_options={"include_usage": True}
    )
    *_, last = stream

    assert ([], 21) == (last.choices, last.usage.total_tokens)


def test_a_completion(stack: Stack, client: openai.OpenAI):
    answer = client.completions.create(model=stack.model, prompt="Once upon a time", max_tokens=7)

    assert (7, "text_completion") == (answer.usage.completion_tokens, answer.object)


def test_embeddings_count_their_prompt(stack: Stack):
    user = stack.user()
    with a_client(stack, user) as client:
        answer = client.embeddings.create(model=stack.model, input=["first text", "second text"])

    assert [0, 1] == [item.index for item in answer.data]
    assert len(answer.data[0].embedding) > 100
    stack.uses(user, 1, answer.usage.prompt_tokens)


def test_the_models_that_exist(stack: Stack, client: openai.OpenAI):
    listed = client.models.list().data

    assert stack.model in [model.id for model in listed]
    assert {"model"} == {model.object for model in listed}


def test_errors_become_the_exceptions_that_applications_catch(stack: Stack, client: openai.OpenAI):
    chat = client.chat.completions.create
    with pytest.raises(openai.NotFoundError) as unknown_model:
        chat(model="gpt-9", messages=PROMPT)
    with pytest.raises(openai.BadRequestError) as bad:
        chat(model=stack.model, messages="hello")  # type: ignore[arg-type]  # the point of the test
    with a_client(stack, stack.user(rpm=1)) as limited:
        limited.chat.completions.create(model=stack.model, messages=PROMPT, max_tokens=1)
        with pytest.raises(openai.RateLimitError) as over:
            limited.chat.completions.create(model=stack.model, messages=PROMPT, max_tokens=1, stream=True)
    with a_client(stack, "ghost") as nobody, pytest.raises(openai.AuthenticationError) as unknown_user:
        nobody.chat.completions.create(model=stack.model, messages=PROMPT)

    assert ("model_not_found", "model") == (unknown_model.value.code, unknown_model.value.param)
    assert "messages" == bad.value.param
    assert ("rate_limit_exceeded", "rate_limit_error") == (over.value.code, over.value.type)
    assert int(over.value.response.headers["retry-after"]) > 0
    assert "user_not_found" == unknown_user.value.code


async def test_the_asynchronous_client(stack: Stack):
    async with openai.AsyncOpenAI(
        base_url=stack.variables["GATEWAY"] + "/v1",
        api_key="none",
        default_headers={"user": stack.user()},
        http_client=httpx.AsyncClient(trust_env=False),
    ) as client:
        stream = await client.chat.completions.create(model=stack.model, messages=PROMPT, max_tokens=5, stream=True)
        text = [chunk.choices[0].delta.content async for chunk in stream]

    assert len(text) > 3
