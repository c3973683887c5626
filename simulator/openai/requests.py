"""Request bodies: their schemas, vLLM's checks, and the checked request that they become.

Lives here: parsing and refusing bodies as vLLM does.  Not here: responses (responses, errors), HTTP (serving).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulator.core.profile import Profile
from simulator.openai import structured
from simulator.openai.errors import NotSupportedError, ParameterError, UnknownModelError, ValidationFailedError
from simulator.openai.logprobs import MAX_ALTERNATIVES
from simulator.openai.tokens import MAX_TOKEN_ID, chat_text, encode, encode_ids, token_count
from simulator.openai.tools import AUTO, NONE, REQUIRED, Function, Offer

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
    prompt_logprobs: int | None = None


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
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class CompletionBody(GenerationBody):
    """POST /v1/completions."""

    prompt: Texts
    max_tokens: int | None = 16  # OpenAI's and vLLM's default for this endpoint
    logprobs: int | None = None
    echo: bool | None = None
    suffix: str | None = None


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
    """A checked request for text: a chat, a completion, or one of the other APIs."""

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
    functions: tuple[Function, ...] = ()  # that the answer calls
    finish: str = "stop"  # the reason at the natural end
    form: structured.Maker | None = None  # what makes an answer of the form that is demanded
    logprobs: int | None = None  # alternatives per token; None = no log probabilities
    told: Mapping[str, Any] = field(default_factory=dict)  # fields that the answer repeats

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
    offer, last = _offer(body), body.messages[-1] if body.messages else Message(role="user")
    functions = offer.called(chat_text([last.model_dump()]), after_result=last.role == "tool")
    return _openai_request(
        body, (_chat_prompt(body.messages, body.tools),), maximum, profile, functions=functions,
        finish="tool_calls" if functions and not offer.is_named else "stop", logprobs=_chat_logprobs(body),
    )  # fmt: skip


def completion_request(value: object, profile: Profile) -> GenerationRequest:
    """Return the checked request of a completion body.  Raises ApiError."""
    body = validated(CompletionBody, value)
    for name in ("echo", "suffix"):
        if getattr(body, name):
            raise NotSupportedError(f"`{name}`", name)
    _check_logprobs(body.logprobs, "logprobs")
    return _openai_request(body, encoded_texts(body.prompt), body.max_tokens, profile, logprobs=body.logprobs)


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


def chat_prompt(messages: Iterable[Mapping[str, Any]], tools: Sequence[Any]) -> bytes:
    """Return the encoded prompt of a chat; roles and contents are texts."""
    return encode(chat_text(messages, list(tools) or None))


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


def generation_request(
    body: Body, prompts: tuple[bytes, ...], maximum: int | None, profile: Profile, *, max_name: str = "max_tokens",
    temperature: float | None = None, n: int = 1, stop: tuple[str, ...] = (), stream: bool = False,
    natural_end: bool | None = None, seed: int = 0, **generated: Any,
) -> GenerationRequest:  # fmt: skip
    """Return the checked request of any API's body; `generated` are further fields.  Raises ApiError."""
    model = served_model(body, profile)
    _check_sampling(maximum, max_name, temperature, n, profile)
    for prompt in prompts:
        check_length(prompt, maximum or 1, profile)
    for function in generated.get("functions", ()):
        structured.checked(structured.by_schema(function.parameters))
    return GenerationRequest(
        model=model,
        prompts=prompts,
        n=n,
        limits=tuple(maximum or profile.max_model_len - token_count(prompt) for prompt in prompts),
        natural_end=maximum is None if natural_end is None else natural_end,
        stop=stop,
        seed=seed,
        stream=stream,
        **{"usage_chunk": False, "usage_everywhere": False} | generated,
    )


def _openai_request(
    body: GenerationBody, prompts: tuple[bytes, ...], maximum: int | None, profile: Profile, **generated: Any
) -> GenerationRequest:
    """Return the checked request of a chat or a completion."""
    served_model(body, profile)  # refused before anything else, as vLLM does
    if body.stream_options is not None and not body.stream:
        raise ParameterError("Stream options can only be defined when `stream=True`.", "stream_options")
    if body.prompt_logprobs is not None:
        raise NotSupportedError("`prompt_logprobs`", "prompt_logprobs")
    options = body.stream_options or StreamOptions()
    return generation_request(
        body, prompts, maximum, profile,
        temperature=body.temperature, n=1 if body.n is None else body.n,
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()), stream=bool(body.stream),
        seed=body.seed or 0, form=structured.form_of(body.model_extra or {}), usage_chunk=bool(options.include_usage),
        usage_everywhere=bool(options.include_usage and options.continuous_usage_stats), **generated,
    )  # fmt: skip


def _offer(body: ChatBody) -> Offer:
    """Return the functions that a chat offers.  Raises ParameterError for tools or a choice of another kind."""
    functions = []
    for tool in body.tools or ():
        function = tool.get("function")
        if (
            tool.get("type") != "function"
            or not isinstance(function, dict)
            or not isinstance(function.get("name"), str)
        ):
            raise ParameterError("each tool must be {type: function, function: {name, ...}}", "tools")
        functions.append(Function(function["name"], function.get("parameters") or {}))
    choice, parallel = body.tool_choice, body.parallel_tool_calls is not False
    if isinstance(choice, dict):
        named = choice.get("function", {})
        if not isinstance(named, dict) or not isinstance(named.get("name"), str):
            raise ParameterError("a tool_choice of an object must be {type: function, function: {name}}", "tool_choice")
        return Offer(functions, named["name"], is_named=True, parallel=parallel)
    if choice not in {None, AUTO, NONE, REQUIRED}:
        raise ParameterError(
            f"Invalid value for `tool_choice`: {choice}! Only named tools, \"none\", \"auto\" or \"required\" are "
            "supported.", "tool_choice",
        )  # fmt: skip
    return Offer(functions, choice or AUTO, parallel=parallel)


def _chat_logprobs(body: ChatBody) -> int | None:
    _check_logprobs(body.top_logprobs, "top_logprobs")
    if body.top_logprobs and not body.logprobs:
        raise ParameterError("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")
    return (body.top_logprobs or 0) if body.logprobs else None


def _check_logprobs(asked: int | None, name: str) -> None:
    if asked is not None and not 0 <= asked <= MAX_ALTERNATIVES:
        raise ParameterError(f"{name} must be from 0 to {MAX_ALTERNATIVES}, got {asked}.", name, asked)


def _check_sampling(maximum: int | None, max_name: str, temperature: float | None, n: int, profile: Profile) -> None:
    if n < 1:
        raise ParameterError(f"n must be at least 1, got {n}.", "n", n)
    if temperature is not None and temperature < 0:
        raise ParameterError(f"temperature must be non-negative, got {temperature}.", "temperature", temperature)
    if maximum is not None and maximum < 1:
        raise ParameterError(f"{max_name} must be at least 1, got {maximum}.", max_name, maximum)
    if maximum is not None and maximum > profile.max_model_len:
        raise ParameterError(
            f"{max_name}={maximum} cannot be greater than max_model_len={profile.max_model_len}. "
            "Please request fewer output tokens.", max_name, maximum,
        )  # fmt: skip
