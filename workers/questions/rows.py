"""A request as a batch sees it: rows of token ids to score and to continue, and how its reply is made of them.

Whatever is wrong with a request is found while its question is made, so that no other request suffers from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from app.domain.contract import (
    Answer,
    AnyVersion,
    Candidate,
    Expected,
    Generate,
    GenerateReply,
    Generation,
    Prompt,
    QueryReply,
    Scores,
    Standing,
    TopToken,
    user_turn,
)
from app.domain.errors import RequestError
from workers.editing.model.anatomy import window
from workers.editing.text.model_text import ModelText
from workers.questions.decoding import Continuation, Start, text_of
from workers.questions.prompt_tokens import prompt_ids, rendered
from workers.questions.sampling import draws
from workers.questions.scoring import Row, Scored, object_row


class Live(Protocol):
    """A model that stands still at one version."""

    @property
    def model(self) -> PreTrainedModel:
        """The live module; never changed here."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The model's tokenizer."""

    @property
    def version(self) -> AnyVersion:
        """The version of the weights."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the model gave for one question's rows, in their order."""

    continued: Sequence[Continuation]
    scored: Sequence[Scored]


class Question(Protocol):
    """One request as rows."""

    @property
    def starts(self) -> Sequence[Start]:
        """Rows to be continued."""

    @property
    def objects(self) -> Sequence[Row]:
        """Rows to be scored."""

    @property
    def numbers(self) -> Sequence[Tensor]:
        """Random numbers to sample with, one tensor a start, none of a probe: (max_new_tokens,), float64, in [0, 1)."""

    def reply(self, model: str, version: AnyVersion, found: Found) -> QueryReply | GenerateReply | Scores:
        """The request's reply from what was found for its rows."""


@dataclass(frozen=True, slots=True)
class ProbeQuestion:
    """Prompts to be continued greedily, and with each of them the objects whose standing is asked for."""

    tokenizer: PreTrainedTokenizerFast
    prompts: tuple[Prompt, ...]
    texts: tuple[str, ...]
    starts: list[Start]
    objects: list[Row]
    numbers: tuple[Tensor, ...] = ()

    @classmethod
    def of(cls, live: Live, prompts: tuple[Prompt, ...]) -> ProbeQuestion:
        """Tokenise everything.

        Raises:
            EmptyText, PromptTooLong: with the field ``prompts.{i}``, or that of an object under it.
        """
        limit, words = window(live.model), ModelText.of(live.tokenizer)
        texts = tuple(_text(words, prompt, f"prompts.{index}") for index, prompt in enumerate(prompts))
        starts: list[Start] = []
        objects: list[Row] = []
        for index, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
            place = f"prompts.{index}"
            ids = prompt_ids(words, text, limit, place)
            starts.append(Start(ids, prompt.max_new_tokens, prompt.top_k))
            asked = [(f"candidates.{rank}", candidate) for rank, candidate in enumerate(prompt.candidates)]
            if prompt.expected is not None:
                asked.append(("expected", prompt.expected))
            objects.extend(object_row(words, text, wanted, limit, f"{place}.{name}") for name, wanted in asked)
        return cls(live.tokenizer, prompts, texts, starts, objects)

    def reply(self, model: str, version: AnyVersion, found: Found) -> QueryReply:
        """One answer a prompt."""
        standings = (each.standing for each in found.scored)
        answers = tuple(
            self._answer(prompt, text, start, continuation, standings)
            for prompt, text, start, continuation in zip(
                self.prompts, self.texts, self.starts, found.continued, strict=True
            )
        )
        return QueryReply(model=model, version=version, answers=answers)

    def _answer(
        self, prompt: Prompt, asked: str, start: Start, continuation: Continuation, standings: Iterator[Standing]
    ) -> Answer:
        candidates = [Candidate(text=text, **next(standings).model_dump()) for text in prompt.candidates]
        candidates.sort(key=lambda candidate: -candidate.probability)
        expected = None
        if prompt.expected is not None:
            standing = next(standings)
            expected = Expected(text=prompt.expected, greedy=standing.rank == 1, **standing.model_dump())
        return Answer(
            prompt=prompt.prompt or asked,
            text=text_of(self.tokenizer, start.ids, continuation.new),
            expected=expected,
            candidates=tuple(candidates),
            top=tuple(
                TopToken(token=str(self.tokenizer.decode([token])), probability=probability)
                for token, probability in continuation.top
            ),
        )


def _text(words: ModelText, prompt: Prompt, place: str) -> str:
    """What the model is asked: the prompt as it is, or turns in the chat template."""
    conversation = prompt.conversation
    if conversation is None:
        return prompt.prompt or ""
    return rendered(words, conversation, f"{place}.{'chat' if prompt.messages is None else 'messages'}")


@dataclass(frozen=True, slots=True)
class GenerateQuestion:
    """Prompts to be continued freely, each as often as the request says."""

    tokenizer: PreTrainedTokenizerFast
    request: Generate
    prompts: tuple[str, ...]
    starts: list[Start]
    numbers: list[Tensor]
    objects: tuple[Row, ...] = ()

    @classmethod
    def of(cls, live: Live, request: Generate) -> GenerateQuestion:
        """Tokenise everything, and draw the numbers.

        Raises:
            EmptyText, PromptTooLong: with the field ``prompts.{i}`` or ``messages``.
            RequestError: several sequences asked of greedy decoding, which has one.
        """
        count, limit = request.num_return_sequences, window(live.model)
        if count > 1 and not request.do_sample:
            detail = "greedy decoding has one answer: set do_sample"
            raise RequestError(detail, field="num_return_sequences", value=count)
        words = ModelText.of(live.tokenizer)
        prompts: tuple[str, ...] = request.prompts or ()
        texts, fields = prompts, [f"prompts.{index}" for index in range(len(prompts))]
        if request.messages:
            prompts = texts = (rendered(words, request.messages, "messages"),)
            fields = ["messages"]
        elif request.chat:
            texts = tuple(rendered(words, user_turn(text), "chat") for text in prompts)
        rows = [prompt_ids(words, text, limit, field) for text, field in zip(texts, fields, strict=True)]
        starts = [Start(row, request.max_new_tokens) for row in rows for _ in range(count)]
        numbers = [number for _ in rows for number in draws(request.seed, count, request.max_new_tokens)]
        return cls(live.tokenizer, request, prompts, starts, numbers)

    def reply(self, model: str, version: AnyVersion, found: Found) -> GenerateReply:
        """One generation a prompt."""
        rows = zip(self.starts, found.continued, strict=True)
        texts = [text_of(self.tokenizer, start.ids, continuation.new) for start, continuation in rows]
        count = self.request.num_return_sequences
        generations = tuple(
            Generation(prompt=prompt, texts=tuple(texts[index * count : (index + 1) * count]))
            for index, prompt in enumerate(self.prompts)
        )
        return GenerateReply(model=model, version=version, generations=generations)
