"""What OpenAI's clients are answered."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.domain.contract import AnyVersion, Finish, Reply


class ModelObject(Reply):
    """A model that is served, or one version of it. ``created``: seconds since 1970, when that was first written."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "palimpsest"
    version: AnyVersion = Field(description="The newest version, or the one that the id names.")


class ModelObjects(Reply):
    """The models that are served."""

    object: Literal["list"] = "list"
    data: tuple[ModelObject, ...]


class Usage(Reply):
    """Tokens of the prompts, each counted once, and of all texts; end tokens are not counted."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def of(cls, prompt: int, new: int) -> Usage:
        """Both counts and their sum."""
        return cls(prompt_tokens=prompt, completion_tokens=new, total_tokens=prompt + new)


class Answer(Reply):
    """What every answer below /v1 says of itself. ``model`` and ``system_fingerprint``: ``name@version``."""

    id: str
    created: int
    model: str
    system_fingerprint: str
    usage: Usage | None = None


class CompletionLogprobs(Reply):
    """Log probabilities of a text's tokens, as lists of one length. ``text_offset``: in characters."""

    tokens: tuple[str, ...]
    token_logprobs: tuple[float, ...]
    top_logprobs: tuple[dict[str, float], ...]
    text_offset: tuple[int, ...]


class CompletionChoice(Reply):
    """One text, or a piece of it in a stream."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: Finish | None = None


class CompletionReply(Answer):
    """A completion; in a stream, one of many."""

    object: Literal["text_completion"] = "text_completion"
    choices: tuple[CompletionChoice, ...]


class TokenLogprob(Reply):
    """A token, its bytes (null where it is only part of a character), and the log of its probability."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None


class ChatToken(TokenLogprob):
    """A token of the text, and the likeliest in its place."""

    top_logprobs: tuple[TokenLogprob, ...] = ()


class ChatLogprobs(Reply):
    """Log probabilities of a text's tokens."""

    content: tuple[ChatToken, ...]
    refusal: None = None


class AssistantMessage(Reply):
    """What the model says."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(Reply):
    """One reply."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: Finish


class ChatReply(Answer):
    """A chat completion."""

    object: Literal["chat.completion"] = "chat.completion"
    choices: tuple[ChatChoice, ...]


class ChatDelta(Reply):
    """What is new in a stream."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChatPiece(Reply):
    """More of one reply."""

    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: Finish | None = None


class ChatChunk(Answer):
    """One event of a chat completion's stream."""

    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    choices: tuple[ChatPiece, ...]
