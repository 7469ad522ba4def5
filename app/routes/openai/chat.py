"""POST /v1/chat/completions: replies to a chat, in the model's own chat template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from app.dependencies import ServicesDep
from app.domain.contract import ChosenToken, LikelyToken, Piece, Turn
from app.routes import examples
from app.routes.openai.answering import RESPONSES, Text, answered
from app.routes.openai.replies import (
    Answer,
    AssistantMessage,
    ChatChoice,
    ChatChunk,
    ChatDelta,
    ChatLogprobs,
    ChatPiece,
    ChatReply,
    ChatToken,
    TokenLogprob,
)
from app.routes.openai.requests import ChatMessage, ChatRequest
from app.routes.openai.wanted import wanted

UNFINISHED = "\ufffd"

router = APIRouter()


@router.post("/chat/completions", response_model=ChatReply, responses=RESPONSES)
async def reply_to_chat(
    asked: Annotated[ChatRequest, Body(openapi_examples=examples.CHATS)], request: Request, services: ServicesDep
) -> Response:
    """Reply to messages, as OpenAI's chat completions do; `model` in the answer is `name@version`.

    A model without a chat template is asked at `/v1/completions`.
    """
    logprobs = (asked.top_logprobs or 0) if asked.logprobs else None
    most = asked.max_completion_tokens or asked.max_tokens
    texts = wanted(asked, most, logprobs, messages=tuple(_turn(message) for message in asked.messages))
    return await answered(asked, texts, texts.n, ChatForm(logprobs=logprobs is not None), request, services)


def _turn(message: ChatMessage) -> Turn:
    return Turn(role="system" if message.role == "developer" else message.role, content=message.text)


@dataclass(frozen=True, slots=True)
class ChatForm:
    """Chat completions, as answers and as streams."""

    logprobs: bool
    mark: str = "chatcmpl"

    def whole(self, said: Answer, texts: Sequence[Text]) -> ChatReply:
        """The answer that has all texts."""
        choices = tuple(
            ChatChoice(
                index=text.index,
                message=AssistantMessage(content=text.text),
                logprobs=self._logprobs(text.tokens),
                finish_reason=text.finish,
            )
            for text in texts
        )
        return ChatReply(**said.model_dump(), choices=choices)

    def opening(self, said: Answer, texts: int) -> Sequence[ChatChunk]:
        """Who speaks."""
        delta = ChatDelta(role="assistant", content="")
        return [ChatChunk(**said.model_dump(), choices=(ChatPiece(index=i, delta=delta),)) for i in range(texts)]

    def chunk(self, said: Answer, piece: Piece) -> ChatChunk:
        """One piece in a stream."""
        choice = ChatPiece(
            index=piece.index,
            delta=ChatDelta(content=piece.text),
            logprobs=self._logprobs(piece.tokens),
            finish_reason=piece.finish,
        )
        return ChatChunk(**said.model_dump(), choices=(choice,))

    def usage(self, said: Answer) -> ChatChunk:
        """What a stream ends with if its usage is wanted."""
        return ChatChunk(**said.model_dump(), choices=())

    def _logprobs(self, tokens: Sequence[ChosenToken]) -> ChatLogprobs | None:
        if not self.logprobs:
            return None
        return ChatLogprobs(
            content=tuple(
                ChatToken(**_named(token).model_dump(), top_logprobs=tuple(map(_named, token.top))) for token in tokens
            )
        )


def _named(token: LikelyToken) -> TokenLogprob:
    whole = UNFINISHED not in token.token
    return TokenLogprob(token=token.token, logprob=token.logprob, bytes=tuple(token.token.encode()) if whole else None)
