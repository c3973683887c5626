"""Request bodies: their schemas, vLLM's checks, and the checked request that they become.

Lives here: parsing and refusing bodies as vLLM does.  Not here: responses (responses, errors), HTTP (serving).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulator.core.profile import Profile
from simulator.openai.errors import ParameterError, UnknownModelError, ValidationFailedError
from simulator.openai.tokens import MAX_TOKEN_ID, chat_text, encode, encode_ids, token_count

TokenId = Annotated[int, Field(ge=0, le=MAX_TOKEN_ID)]
Texts = str | list[str] | list[TokenId] | list[list[TokenId]]


class Body(BaseModel):
    """A JSON object.  Fields that do not change a simulated response are accepted and ignored."""

    model_config = ConfigDict(extra="allow")

    model: str | None = None


class StreamOptions(BaseModel):
    """`stream_options`."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class GenerationBody(Body):
    """The fields that chat and completions have in common."""

    max_tokens: int | None = None
    temperature: float | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    seed: int | None = None


class Message(BaseModel):
    """One message of a chat."""

    model_config = ConfigDict(extra="allow")

    role: str
    content: str | list[dict[str, Any]] | None = None


class ChatBody(GenerationBody):
    """POST /v1/chat/completions."""

    messages: list[Message]
    max_completion_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None


class CompletionBody(GenerationBody):
    """POST /v1/completions."""

    prompt: Texts
    max_tokens: int | None = 16  # OpenAI's and vLLM's default for this endpoint


class EmbeddingBody(Body):
    """POST /v1/embeddings."""

    input: Texts
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None


class TokenizeBody(Body):
    """POST /tokenize: a prompt or a chat."""

    prompt: str | None = None
    messages: list[Message] | None = None
    return_token_strs: bool | None = None


class DetokenizeBody(Body):
    """POST /detokenize."""

    tokens: list[TokenId]


class LoadAdapterBody(BaseModel):
    """POST /v1/load_lora_adapter.  Whether the path exists is not checked."""

    lora_name: str = Field(min_length=1)
    lora_path: str = Field(min_length=1)


class UnloadAdapterBody(BaseModel):
    """POST /v1/unload_lora_adapter."""

    lora_name: str = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A checked request for chat or completions."""

    model: str
    prompts: tuple[bytes, ...]  # encoded
    n: int  # choices per prompt
    limits: tuple[int, ...]  # maximum output tokens of a choice, per prompt
    natural_end: bool  # whether the model may end before the limit: the request named no maximum
    stop: tuple[str, ...]
    seed: int
    stream: bool
    usage_chunk: bool
    usage_everywhere: bool

    @property
    def prompt_tokens(self) -> int:
        """Prompt tokens of the request; the choices of one prompt share it."""
        return sum(map(token_count, self.prompts))


AnyBody = TypeVar("AnyBody", bound=BaseModel)


def validated(schema: type[AnyBody], value: object) -> AnyBody:
    """Return `value` as an instance of `schema`.  Raises ValidationFailedError with every field that is wrong."""
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise ValidationFailedError([dict(problem) for problem in error.errors(include_url=False)]) from error


def served_model(body: Body, profile: Profile) -> str:
    """Return the name of the model or adapter that answers; a body without one means the model.

    Raises UnknownModelError.
    """
    if body.model and body.model not in (profile.model, *profile.adapters):
        raise UnknownModelError(body.model, profile.model)
    return body.model or profile.model


def chat_request(value: object, profile: Profile) -> GenerationRequest:
    """Return the checked request of a chat body.  Raises ApiError."""
    body = validated(ChatBody, value)
    maximum = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    return _generation_request(body, lambda: (_chat_prompt(body.messages, body.tools),), maximum, profile)


def completion_request(value: object, profile: Profile) -> GenerationRequest:
    """Return the checked request of a completion body.  Raises ApiError."""
    body = validated(CompletionBody, value)
    return _generation_request(body, lambda: encoded_texts(body.prompt), body.max_tokens, profile)


def encoded_texts(texts: Texts) -> tuple[bytes, ...]:
    """Return one or several prompts, given as text or as token ids, in encoded form."""
    if isinstance(texts, str):
        return (encode(texts),)
    if texts and isinstance(texts[0], int):
        return (encode_ids(texts),)
    return tuple(encode(text) if isinstance(text, str) else encode_ids(text) for text in texts)  # type: ignore[arg-type]  # as above


def tokenize_prompt(body: TokenizeBody) -> bytes:
    """Return the encoded prompt of a /tokenize body."""
    if body.messages is not None:
        return _chat_prompt(body.messages, None)
    return encode(body.prompt or "")


def check_length(prompt: bytes, wanted: int, profile: Profile) -> None:
    """Raise ParameterError when a prompt and `wanted` output tokens exceed the context length."""
    tokens, limit = token_count(prompt), profile.max_model_len
    if tokens > limit:
        raise ParameterError(
            f"This model's maximum context length is {limit} tokens. However, your prompt contains at least {tokens} "
            "input tokens, which exceeds this limit even without any output tokens. "
            "Please reduce the length of the input prompt.", "input_tokens", tokens,
        )  # fmt: skip
    if tokens + wanted > limit:
        raise ParameterError(
            f"This model's maximum context length is {limit} tokens. However, you requested {wanted} output tokens and "
            f"your prompt contains at least {tokens} input tokens, for a total of at least {tokens + wanted} tokens. "
            "Please reduce the length of the input prompt or the number of requested output tokens.",
            "input_tokens", tokens,
        )  # fmt: skip


def _chat_prompt(messages: list[Message], tools: list[dict[str, Any]] | None) -> bytes:
    return encode(chat_text([message.model_dump() for message in messages], tools))


def _generation_request(
    body: GenerationBody, prompts: Callable[[], tuple[bytes, ...]], maximum: int | None, profile: Profile
) -> GenerationRequest:
    model = served_model(body, profile)
    _check_parameters(body, maximum, profile)
    encoded = prompts()
    for prompt in encoded:
        check_length(prompt, maximum or 1, profile)
    options = body.stream_options or StreamOptions()
    return GenerationRequest(
        model=model,
        prompts=encoded,
        n=1 if body.n is None else body.n,
        limits=tuple(maximum or profile.max_model_len - token_count(prompt) for prompt in encoded),
        natural_end=maximum is None,
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        seed=body.seed or 0,
        stream=bool(body.stream),
        usage_chunk=bool(options.include_usage),
        usage_everywhere=bool(options.include_usage and options.continuous_usage_stats),
    )


def _check_parameters(body: GenerationBody, maximum: int | None, profile: Profile) -> None:
    if body.stream_options is not None and not body.stream:
        raise ParameterError("Stream options can only be defined when `stream=True`.", "stream_options")
    if body.n is not None and body.n < 1:
        raise ParameterError(f"n must be at least 1, got {body.n}.", "n", body.n)
    if body.temperature is not None and body.temperature < 0:
        raise ParameterError(
            f"temperature must be non-negative, got {body.temperature}.", "temperature", body.temperature
        )
    if maximum is not None and maximum < 1:
        raise ParameterError(f"max_tokens must be at least 1, got {maximum}.", "max_tokens", maximum)
    if maximum is not None and maximum > profile.max_model_len:
        raise ParameterError(
            f"max_tokens={maximum} cannot be greater than max_model_len={profile.max_model_len}. "
            "Please request fewer output tokens.", "max_tokens", maximum,
        )  # fmt: skip
