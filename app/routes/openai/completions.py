"""POST /v1/completions: texts that continue prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from app.dependencies import ServicesDep
from app.domain.contract import ChosenToken, Piece
from app.routes import examples
from app.routes.openai.answering import RESPONSES, Text, answered
from app.routes.openai.replies import Answer, CompletionChoice, CompletionLogprobs, CompletionReply
from app.routes.openai.requests import CompletionRequest
from app.routes.openai.wanted import wanted

MAX_TOKENS = 16
"""OpenAI's default."""

router = APIRouter()


@router.post("/completions", response_model=CompletionReply, responses=RESPONSES)
async def complete(
    asked: Annotated[CompletionRequest, Body(openapi_examples=examples.COMPLETIONS)],
    request: Request,
    services: ServicesDep,
) -> Response:
    """Continue prompts, as OpenAI's completions do; `model` in the answer is `name@version`."""
    texts = wanted(asked, asked.max_tokens or MAX_TOKENS, asked.logprobs, prompts=asked.prompt)
    return await answered(asked, texts, len(asked.prompt) * texts.n, CompletionForm(asked, texts.n), request, services)


@dataclass(frozen=True, slots=True)
class CompletionForm:
    """Completions, as answers and as streams."""

    asked: CompletionRequest
    n: int
    mark: str = "cmpl"

    def whole(self, said: Answer, texts: Sequence[Text]) -> CompletionReply:
        """The answer that has all texts."""
        choices = tuple(
            CompletionChoice(
                index=text.index,
                text=self._echoed(text.index) + text.text,
                logprobs=self._logprobs(text.tokens),
                finish_reason=text.finish,
            )
            for text in texts
        )
        return CompletionReply(**said.model_dump(), choices=choices)

    def opening(self, said: Answer, texts: int) -> Sequence[CompletionReply]:
        """The prompts, if they are to be repeated."""
        echoed = [CompletionChoice(index=index, text=self._echoed(index)) for index in range(texts)]
        return [CompletionReply(**said.model_dump(), choices=(choice,)) for choice in echoed if choice.text]

    def chunk(self, said: Answer, piece: Piece) -> CompletionReply:
        """One piece in a stream."""
        choice = CompletionChoice(
            index=piece.index, text=piece.text, logprobs=self._logprobs(piece.tokens), finish_reason=piece.finish
        )
        return CompletionReply(**said.model_dump(), choices=(choice,))

    def usage(self, said: Answer) -> CompletionReply:
        """What a stream ends with if its usage is wanted."""
        return CompletionReply(**said.model_dump(), choices=())

    def _echoed(self, index: int) -> str:
        return self.asked.prompt[index // self.n] if self.asked.echo else ""

    def _logprobs(self, tokens: Sequence[ChosenToken]) -> CompletionLogprobs | None:
        if self.asked.logprobs is None:
            return None
        return CompletionLogprobs(
            tokens=tuple(token.token for token in tokens),
            token_logprobs=tuple(token.logprob for token in tokens),
            top_logprobs=tuple({top.token: top.logprob for top in reversed(token.top)} for token in tokens),
            text_offset=tuple(token.offset for token in tokens),
        )
