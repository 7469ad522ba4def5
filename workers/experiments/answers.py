"""How a model's answers stand: to each case's own prompt, its paraphrases and its neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from workers.editing.model.editable_model import EditableModel
from workers.editing.text.model_text import ModelText
from workers.evaluation.likelihoods import Asked, scored
from workers.experiments.cases import Case
from workers.questions.scoring import Scored, object_row


class Kept(BaseModel):
    """What a run folder keeps."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Answered(Kept):
    """A wanted answer after a prompt, teacher forced, beside one that is not wanted.

    nll, other: mean NLL a token of either, in nats; ``other``: None where there is none to compare with.
    exact: every token is the likeliest. tokens: the share of the tokens that are. greedy: the likeliest tokens' ids.
    """

    nll: float
    other: float | None
    exact: bool
    tokens: float
    greedy: tuple[int, ...]

    @property
    def success(self) -> bool | None:
        """Whether the wanted answer is likelier a token, as CounterFact compares."""
        return None if self.other is None else self.nll < self.other

    @property
    def magnitude(self) -> float | None:
        """By how much its mean probability a token, as exp(-NLL), is above that of the other one."""
        return None if self.other is None else math.exp(-self.nll) - math.exp(-self.other)


class CaseAnswers(Kept):
    """All answers about one case."""

    own: Answered
    paraphrases: tuple[Answered, ...]
    neighbours: tuple[Answered, ...]


class _Question(NamedTuple):
    prompt: str
    wanted: str
    unwanted: str | None


Prompted = Callable[[Case, str], str]
"""How a question about a case is put: the prompt that the model gets for it."""


def plainly(_: Case, prompt: str) -> str:
    """As it is."""
    return prompt


def told_before(case: Case, prompt: str) -> str:
    """After the new fact, as in-context editing without demonstrations puts it (IKE, Zheng et al. 2023)."""
    return f"New fact: {case.prompt} {case.object}.\n{prompt}"


def answers(editable: EditableModel, cases: Sequence[Case], prompted: Prompted = plainly) -> list[CaseAnswers]:
    """Ask about each case: of its own prompt and its paraphrases the new object is wanted, rather than the old one; of
    a neighbour its right answer, rather than the new object.

    Raises:
        EmptyText, PromptTooLong: with the field ``pairs.{i}``.
    """
    questions = [list(_questions(case, prompted)) for case in cases]
    pairs: list[Asked] = []
    for asked in (each for of_case in questions for each in of_case):
        pairs.append((asked.prompt, asked.wanted))
        if asked.unwanted is not None:
            pairs.append((asked.prompt, asked.unwanted))
    found = iter(scored(editable, pairs))
    return [
        _of_case(case, [_answered(asked, found) for asked in of_case])
        for case, of_case in zip(cases, questions, strict=True)
    ]


def refuse_unaskable(editable: EditableModel, case: Case) -> None:
    """Return if every question about the case fits with its answers, also after the fact.

    Raises:
        EmptyText, PromptTooLong: one does not; with the field ``questions``.
    """
    words = ModelText.of(editable.tokenizer)
    for asked in (each for prompted in (plainly, told_before) for each in _questions(case, prompted)):
        for answer in (asked.wanted, asked.unwanted):
            if answer is not None:
                object_row(words, asked.prompt, answer, editable.window, "questions")


def _questions(case: Case, prompted: Prompted) -> Iterator[_Question]:
    for prompt in (case.prompt, *case.paraphrases):
        yield _Question(prompted(case, prompt), case.object, case.truth)
    for prompt, answer in case.neighbours:
        other = None if answer.split() == case.object.split() else case.object
        yield _Question(prompted(case, prompt), answer, other)


def _answered(asked: _Question, found: Iterator[Scored]) -> Answered:
    wanted = next(found)
    other = None if asked.unwanted is None else next(found).nll
    return Answered(
        nll=wanted.nll,
        other=other,
        exact=wanted.standing.rank == 1,
        tokens=wanted.matched,
        greedy=wanted.greedy,
    )


def _of_case(case: Case, found: Sequence[Answered]) -> CaseAnswers:
    split = 1 + len(case.paraphrases)
    return CaseAnswers(own=found[0], paraphrases=tuple(found[1:split]), neighbours=tuple(found[split:]))
