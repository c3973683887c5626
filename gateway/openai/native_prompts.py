"""The prompts of paths that vLLM and SGLang serve beside OpenAI's and Anthropic's.

Lives here: which fields hold a prompt there.  Not here: reading such a field (prompt).
The engine judges a body that has none of the fields that are known here.
"""

from collections.abc import Callable
from dataclasses import replace

from gateway.openai.fields import Body, first_given
from gateway.openai.media import AUDIO_TOKENS, IMAGE_TOKENS, VIDEO_TOKENS, MediaCount
from gateway.openai.prompt import Prompt, chat_prompt, completion_prompt, read_input

_MEDIA = {
    "image_data": IMAGE_TOKENS, "video_data": VIDEO_TOKENS, "audio_data": AUDIO_TOKENS,  # SGLang's
    "images": IMAGE_TOKENS,  # Cohere's
}  # fmt: skip
"""Fields of media beside a prompt, and the stated tokens of one."""


def no_prompt(_body: Body) -> Prompt:
    """Return nothing, for what needs no GPU: it matters little which pod answers."""
    return Prompt()


def fields_prompt(*names: str) -> Callable[[Body], Prompt]:
    """Return a reader of the first of these fields that a body has: a string, parts, token ids, or a list of those.

    The digests of media beside it come first.
    """

    def read(body: Body) -> Prompt:
        name = first_given(body, names)
        prompt = Prompt() if name is None else read_input(body[name], name)
        media = MediaCount()
        fields = [(field, tokens) for field, tokens in _MEDIA.items() if body.get(field) is not None]
        digests = [digest for field, tokens in fields for digest in media.digests(body[field], field, tokens)]
        if not digests:
            return prompt
        text = "\n".join([*digests, prompt.text] if prompt.text else digests)
        return replace(prompt, text=text, media_tokens=prompt.media_tokens + media.tokens)

    return read


def picture_prompt(body: Body) -> Prompt:
    """Read the prompt of edited pictures: `prompt`, which may be missing, and a picture."""
    return Prompt(body.get("prompt", ""), media_tokens=IMAGE_TOKENS)


_POOLED = fields_prompt("input", "text", "input_ids")
_SCORED = fields_prompt("input", "text", "query", "text_1")


def pooling_prompt(body: Body) -> Prompt:
    """Read the prompt of pooling, classify and encode: vLLM's `input` or `messages`, SGLang's `text` or `input_ids`."""
    return chat_prompt(body) if "messages" in body and "input" not in body else _POOLED(body)


def invocation_prompt(body: Body) -> Prompt:
    """Read the prompt of SageMaker's one path, by the kind of request that its fields make it."""
    if "messages" in body:
        return chat_prompt(body)
    return completion_prompt(body) if "prompt" in body or "prompt_embeds" in body else _SCORED(body)
