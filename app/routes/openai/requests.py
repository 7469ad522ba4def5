"""What OpenAI's clients send: the parameters that mean something here, and those that may be sent and mean nothing.

Any other parameter is refused by its name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from app.domain.contract.texts import Bias, LongText, Penalty

MOST_TOP_LOGPROBS = 20
MOST_LOGPROBS = 5


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


Prompts = Annotated[tuple[LongText, ...], Field(min_length=1, max_length=64)]
Stops = Annotated[tuple[LongText, ...], Field(max_length=4)]
Ignored = Annotated[Any, Field(description="May be sent, and means nothing here.")]
TokenId = Annotated[int, Field(ge=0)]


class OpenAIRequest(BaseModel):
    """Base of what is sent below /v1; null is as good as left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StreamOptions(OpenAIRequest):
    """Options of a stream."""

    include_usage: bool | None = None
    include_obfuscation: Ignored = None


class TextRequest(OpenAIRequest):
    """The parameters that completions and chat completions have in common, and two of our own for own writes."""

    model: Annotated[
        str, Field(min_length=1, max_length=200, description="A model's name, `name@version`, `name@alias`.")
    ]
    n: Annotated[int, Field(ge=1, le=16)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Annotated[dict[TokenId, Bias], Field(max_length=1000)] | None = None
    stop: Annotated[Stops, BeforeValidator(_listed, json_schema_input_type=LongText | Stops)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Ignored = None
    min_version: Annotated[int, Field(ge=0)] = Field(0, description="As in `/query`.")
    wait_seconds: Annotated[float, Field(ge=0, le=60)] = Field(10.0, description="As in `/query`.")

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> TextRequest:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options: only with stream")
        return self

    @property
    def counts_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class CompletionRequest(TextRequest):
    """POST /v1/completions."""

    prompt: Annotated[Prompts, BeforeValidator(_listed, json_schema_input_type=LongText | Prompts)]
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None
    best_of: Annotated[int, Field(ge=1, le=16)] | None = None
    suffix: Annotated[Literal[""], Field(description="Not supported.")] | None = None

    @model_validator(mode="after")
    def _what_is_not_supported(self) -> CompletionRequest:
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise ValueError("best_of: only as many as n")
        if self.echo and self.logprobs is not None:
            raise ValueError("logprobs: not of the prompt, which echo repeats")
        return self


class TextPart(OpenAIRequest):
    """Part of a message."""

    type: Literal["text"]
    text: LongText


def _parts(given: Any) -> Any:
    return [{"type": "text", "text": given}] if isinstance(given, str) else given


SomeParts = Annotated[tuple[TextPart, ...], Field(min_length=1, max_length=64)]
Parts = Annotated[SomeParts, BeforeValidator(_parts, json_schema_input_type=LongText | SomeParts)]


class ChatMessage(OpenAIRequest):
    """One message. ``developer`` is ``system`` by another name."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Parts
    name: Ignored = None
    refusal: None = None
    audio: None = None
    annotations: Ignored = None
    tool_calls: None = None
    function_call: None = None

    @property
    def text(self) -> str:
        """The content as one text."""
        return "".join(part.text for part in self.content)


class ResponseFormat(OpenAIRequest):
    """Plain text is the only one."""

    type: Literal["text"]


class ChatRequest(TextRequest):
    """POST /v1/chat/completions."""

    messages: Annotated[tuple[ChatMessage, ...], Field(min_length=1, max_length=256)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_TOP_LOGPROBS)] | None = None
    response_format: ResponseFormat | None = None
    modalities: tuple[Literal["text"]] | None = None
    metadata: Ignored = None
    store: Ignored = None
    service_tier: Ignored = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_retention: Ignored = None

    @model_validator(mode="after")
    def _top_logprobs_with_logprobs(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs: only with logprobs")
        return self
