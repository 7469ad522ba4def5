"""Before and after of one batch: do the facts hold, do their paraphrases, do the neighbours keep their answers?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.contract import FactReport, Standing, Verify
from app.domain.manifest import LoggedFact
from app.domain.prompts import filled, first_sentence
from workers.editing.model.editable_model import EditableModel
from workers.editing.types import Fact
from workers.questions.decoding import greedy
from workers.questions.scoring import standings

ANSWER_TOKENS = 8
"""A neighbour's answer is its greedy continuation of so many tokens, up to the end of the sentence."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """How a batch stands under one model: one entry a fact, in the batch's order."""

    facts: tuple[Standing, ...]
    paraphrases: tuple[tuple[bool, ...], ...]
    neighbours: tuple[tuple[str, ...], ...]


def measure(editable: EditableModel, facts: Sequence[LoggedFact]) -> Measurement:
    """Ask the model for every fact, paraphrase (teacher forced) and neighbour (greedy) of a batch.

    A fact with a stop holds if the model says its object and ends its turn there.
    """
    pairs = [(filled(fact.prompt, fact.subject), fact.object) for fact in facts]
    pairs += [(filled(text, fact.subject), fact.object) for fact in facts for text in fact.paraphrases]
    questions = [filled(text, fact.subject) for fact in facts for text in fact.neighbours]
    stops = [index for index, fact in enumerate(facts) if fact.stop]
    found = standings(editable.model, editable.tokenizer, pairs, stops=stops)
    asked = iter(found[len(facts) :])
    answers = iter(greedy(editable.model, editable.tokenizer, questions, ANSWER_TOKENS) if questions else ())
    return Measurement(
        facts=tuple(found[: len(facts)]),
        paraphrases=tuple(tuple(next(asked).rank == 1 for _ in fact.paraphrases) for fact in facts),
        neighbours=tuple(tuple(first_sentence(next(answers)) for _ in fact.neighbours) for fact in facts),
    )


def compare(
    facts: Sequence[LoggedFact],
    before: Measurement,
    after: Measurement,
    warnings: Sequence[tuple[str, ...]] | None = None,
) -> tuple[FactReport, ...]:
    """One report a fact. ``warnings``: of each fact (``Edited.warnings``)."""
    return tuple(
        FactReport(
            index=i,
            id=fact.id,
            subject=fact.subject,
            prompt=fact.prompt,
            object=fact.object,
            previous=fact.previous,
            before=before.facts[i],
            after=after.facts[i],
            holds=after.facts[i].rank == 1,
            paraphrases=after.paraphrases[i],
            neighbours=tuple(a == b for a, b in zip(before.neighbours[i], after.neighbours[i], strict=True)),
            warnings=warnings[i] if warnings else (),
        )
        for i, fact in enumerate(facts)
    )


def share(held: Sequence[bool]) -> float | None:
    """Share of true entries; None if there are no entries."""
    return sum(held) / len(held) if held else None


def share_held(editable: EditableModel, facts: Sequence[Fact]) -> float | None:
    """Share of the facts that the model gives greedily; None if there are no facts."""
    found = standings(editable.model, editable.tokenizer, [(fact.text, fact.object) for fact in facts])
    return share([standing.rank == 1 for standing in found])


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of a batch that hold, each in [0, 1], None where the batch named none."""

    facts: float
    paraphrases: float | None
    neighbours: float | None

    @classmethod
    def of(cls, reports: Sequence[FactReport]) -> Shares:
        """Count the reports."""
        return cls(
            facts=share([report.holds for report in reports]) or 0.0,
            paraphrases=share([held for report in reports for held in report.paraphrases]),
            neighbours=share([kept for report in reports for kept in report.neighbours]),
        )

    def satisfy(self, verify: Verify | None) -> bool:
        """Whether no share is below its bound; a share that is None is not below any."""
        if verify is None:
            return True
        pairs = (
            (self.facts, verify.facts),
            (self.paraphrases, verify.paraphrases),
            (self.neighbours, verify.neighbours),
        )
        return all(found is None or bound is None or found >= bound for found, bound in pairs)
