"""Neighbours: do they keep the model's answer, and does the right answer stay ahead of the new object?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.errors import RequestError
from app.domain.manifest import LoggedFact, LoggedNeighbour
from app.domain.prompts import filled, first_sentence
from workers.editing.model.editable_model import EditableModel
from workers.editing.text.model_text import ModelText
from workers.questions.decoding import greedy
from workers.questions.scoring import Row, object_row, scored_rows

ANSWER_TOKENS = 8
"""A neighbour's answer is its greedy continuation of so many tokens, up to the end of the sentence."""

Answers = tuple[tuple[str, ...], ...]
"""One a neighbour, fact by fact."""


def answers_of(editable: EditableModel, facts: Sequence[LoggedFact]) -> Answers:
    """What the model answers to each neighbour, greedily.

    Raises:
        PromptTooLong: a neighbour does not fit (``askable`` refuses such a batch before).
    """
    prompts = [filled(neighbour.prompt, fact.subject) for fact in facts for neighbour in fact.neighbours]
    found = iter(greedy(editable.model, editable.tokenizer, prompts, ANSWER_TOKENS) if prompts else ())
    return tuple(tuple(first_sentence(next(found)) for _ in fact.neighbours) for fact in facts)


def kept_right(editable: EditableModel, facts: Sequence[LoggedFact], before: Answers) -> tuple[tuple[bool, ...], ...]:
    """Whether the model still gives each neighbour an expected answer rather than the fact's new object.

    As CounterFact counts it: the mean log-probability of an answer's tokens is above that of the new object's. Any of
    several answers will do. Where none is expected it is the model's own ``before`` the edit; where that was nothing,
    or is the new object itself, nothing can be lost.
    """
    words = ModelText.of(editable.tokenizer)
    duels = [
        [
            _Duel.of(words, editable.window, fact, neighbour, own)
            for neighbour, own in zip(fact.neighbours, answers, strict=True)
        ]
        for fact, answers in zip(facts, before, strict=True)
    ]
    rows = [row for each in duels for duel in each for row in duel.rows]
    found = iter(-scored.nll for scored in scored_rows(editable.model, rows))
    return tuple(tuple(duel.won([next(found) for _ in duel.rows]) for duel in each) for each in duels)


@dataclass(frozen=True, slots=True)
class _Duel:
    """The rows of the new object, first, and of the answers that shall stay ahead; none where there is no answer."""

    rows: tuple[Row, ...]

    @classmethod
    def of(cls, words: ModelText, window: int, fact: LoggedFact, neighbour: LoggedNeighbour, own: str) -> _Duel:
        prompt = filled(neighbour.prompt, fact.subject)
        answers = neighbour.expected or ((own,) if own else ())
        texts = [fact.object, *(text for text in answers if text.split() != fact.object.split())]
        try:
            rows = [object_row(words, prompt, text, window, "neighbours") for text in texts]
        except RequestError:  # an answer of the model's own that shows nothing, or fills the window
            return cls(())
        return cls(tuple(rows) if len(rows) > 1 else ())

    def won(self, means: Sequence[float]) -> bool:
        """``means``: mean log-probabilities of the rows."""
        return not means or max(means[1:]) > means[0]
