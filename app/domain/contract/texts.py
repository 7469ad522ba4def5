"""Texts that are told while they are written: the request, and the events of the answer, each a line of JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, TypeAdapter, model_validator

from app.domain.contract.jobs import Problem
from app.domain.contract.messages import Message
from app.domain.contract.proposal_ids import AnyVersion
from app.domain.contract.questions import Question
from app.domain.contract.values import Reply

LongText = Annotated[str, StringConstraints(min_length=1, max_length=100_000)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Bias = Annotated[float, Field(ge=-100, le=100)]
Finish = Literal["stop", "length"]


class Turn(Message):
    """A message as long as a text that is to be continued may be."""

    content: LongText


class Continue(Question):
    """Prompts, or a chat, to be continued ``n`` times each; sampling as OpenAI's parameters of these names have it."""

    prompts: Annotated[tuple[LongText, ...], Field(min_length=1, max_length=64)] | None = None
    messages: Annotated[tuple[Turn, ...], Field(min_length=1, max_length=256)] | None = None
    n: Annotated[int, Field(ge=1, le=16)] = 1
    max_new_tokens: Annotated[int, Field(ge=1)] | None = Field(None, description="None: up to the model's window.")
    temperature: Annotated[float, Field(ge=0, le=2)] = Field(0.0, description="0: greedily.")
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    frequency_penalty: Penalty = 0.0
    presence_penalty: Penalty = 0.0
    logit_bias: dict[Annotated[int, Field(ge=0)], Bias] = Field(default_factory=dict, max_length=1000)
    stop: tuple[LongText, ...] = Field((), max_length=4)
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = Field(None, description="Likeliest tokens to name beside.")

    @model_validator(mode="after")
    def _one_way_to_ask(self) -> Continue:
        if (self.prompts is None) == (self.messages is None):
            raise ValueError("give either prompts or messages")
        return self


class LikelyToken(Reply):
    """A token and the logarithm of its probability, as the model gives it before any sampling parameter."""

    token: str
    logprob: float


class ChosenToken(LikelyToken):
    """A token of a text. ``offset``: characters of the text before it."""

    offset: int
    top: tuple[LikelyToken, ...] = ()


class Begun(Reply):
    """The first event: the version that writes, all of every text, and how many tokens each prompt has."""

    kind: Literal["begun"] = "begun"
    version: AnyVersion
    prompt_tokens: tuple[int, ...]


class Piece(Reply):
    """More of one text; text ``index`` continues prompt ``index // n``. The last one of a text has its ``finish``."""

    kind: Literal["piece"] = "piece"
    index: int
    text: str
    tokens: tuple[ChosenToken, ...] = ()
    finish: Finish | None = None
    new_tokens: int = Field(0, description="With ``finish``: how many tokens were written, the end token not counted.")


class Broken(Reply):
    """The last event of texts that cannot be written to their end."""

    kind: Literal["broken"] = "broken"
    problem: Problem


TextEvent = Annotated[Begun | Piece | Broken, Field(discriminator="kind")]
TEXT_EVENT: TypeAdapter[Begun | Piece | Broken] = TypeAdapter(TextEvent)
