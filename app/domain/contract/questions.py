"""Questions to a model, and its answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from app.domain.contract.aliases import NamedVersion
from app.domain.contract.messages import Message, Messages, user_turn
from app.domain.contract.proposal_ids import AnyVersion
from app.domain.contract.values import JobId, Name, Positive, Reply, Request, Text


class Prompt(Request):
    """One question: a prompt, or a chat whose reply is asked for."""

    prompt: Text | None = None
    messages: Messages | None = None
    chat: bool = Field(False, description="The prompt is a user's turn.")
    expected: Text | None = None
    candidates: tuple[Text, ...] = Field((), max_length=100)
    max_new_tokens: Annotated[int, Field(ge=0, le=512)] = 12
    top_k: Annotated[int, Field(ge=0, le=100)] = 5

    @model_validator(mode="after")
    def _one_way_to_ask(self) -> Prompt:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self

    @property
    def conversation(self) -> tuple[Message, ...] | None:
        """The messages of a question in chat; None for one that is plain text."""
        return user_turn(self.prompt) if self.chat and self.prompt is not None else self.messages


class Question(Request):
    """What every question may say of the model that shall answer it."""

    model: Name | None = Field(None, description="May be left out when one model is served.")
    version: NamedVersion | None = Field(
        None,
        description="Answer from this version of the model's history, from the one that this alias points to, or from "
        "this proposal (`proposed-...`); None: from the live one.",
    )
    min_version: Annotated[int, Field(ge=0)] = Field(
        0, description="Answer from this version or a later one: with a job's version, one reads one's own write."
    )
    wait_seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = Field(
        10.0, description="How long the answer may wait for that version to be in service."
    )


class Query(Question):
    """Questions for the live model; or all the facts of an earlier edit, by its job's id."""

    prompts: tuple[Prompt, ...] = Field((), max_length=256)
    job: JobId | None = None

    @model_validator(mode="after")
    def _prompts_or_job(self) -> Query:
        if bool(self.prompts) == (self.job is not None):
            raise ValueError("give either prompts or job")
        return self


class Candidate(Reply):
    """One object and how it stands."""

    text: str
    probability: float
    rank: int


class Expected(Candidate):
    """The expected object; ``greedy`` says whether greedy decoding gives all of it."""

    greedy: bool


class TopToken(Reply):
    """One of the most probable next tokens."""

    token: str
    probability: float


class Answer(Reply):
    """What the model says to one prompt."""

    prompt: str = Field(description="As it was asked; of messages, what the chat template made of them.")
    text: str = Field(description="Greedy continuation, the prompt not included.")
    expected: Expected | None = None
    candidates: tuple[Candidate, ...] = Field((), description="Most probable first.")
    top: tuple[TopToken, ...] = ()


class QueryReply(Reply):
    """Answers, all from one version's weights."""

    model: str
    version: AnyVersion
    answers: tuple[Answer, ...]


class Generate(Question):
    """Free generation; sampling parameters as in transformers' ``generate``."""

    prompts: Annotated[tuple[Text, ...], Field(min_length=1, max_length=64)] | None = None
    messages: Messages | None = Field(None, description="A chat whose reply is asked for, in place of prompts.")
    chat: bool = Field(False, description="Each prompt is a user's turn.")
    max_new_tokens: Annotated[int, Field(ge=1, le=2048)] = 32
    do_sample: bool = False
    temperature: Positive = 1.0
    top_k: Annotated[int, Field(ge=0)] = 50
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    repetition_penalty: Positive = 1.0
    num_return_sequences: Annotated[int, Field(ge=1, le=16)] = 1
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None

    @model_validator(mode="after")
    def _one_way_to_ask(self) -> Generate:
        if (self.prompts is None) == (self.messages is None):
            raise ValueError("give either prompts or messages")
        return self


class Generation(Reply):
    """Continuations of one prompt, the prompt not included."""

    prompt: str = Field(description="As it was asked; of messages, what the chat template made of them.")
    texts: tuple[str, ...]


class GenerateReply(Reply):
    """Generations, all from one version's weights."""

    model: str
    version: AnyVersion
    generations: tuple[Generation, ...]
