"""Before and after of one batch: do the facts hold, do their paraphrases, do the neighbours keep their answers?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.contract import FactReport, Standing, Verify
from app.domain.manifest import LoggedFact
from app.domain.prompts import filled
from workers.editing.model.editable_model import EditableModel
from workers.editing.text.model_text import ModelText
from workers.evaluation.neighbours import Answers, answers_of, kept_right
from workers.questions.scoring import Row, object_row, standings, standings_of_rows


@dataclass(frozen=True, slots=True)
class Measurement:
    """How a batch stands under one model: one entry a fact, in the batch's order.

    neighbours: its answers. right: whether those expected, or those given before, are ahead of the new objects.
    ends: whether the text, or the turn, ends after the object that is given; None where the object is not.
    """

    facts: tuple[Standing, ...]
    paraphrases: tuple[tuple[bool, ...], ...]
    neighbours: Answers
    right: tuple[tuple[bool, ...], ...] = ()
    ends: tuple[bool | None, ...] = ()

    def part(self, indices: range) -> Measurement:
        """That of some of the facts, one after another in the batch."""
        own = slice(indices.start, indices.stop)
        return Measurement(
            self.facts[own], self.paraphrases[own], self.neighbours[own], self.right[own], self.ends[own]
        )


def measure(
    editable: EditableModel, facts: Sequence[LoggedFact], before: Measurement | None = None, *, ends: bool = True
) -> Measurement:
    """Ask the model for every fact, paraphrase (teacher forced) and neighbour (greedy) of a batch.

    A fact with a stop holds if the model says its object and ends its turn there.

    before: how it stood before the edit; what is right of the neighbours is measured against that.
    ends: whether it is looked at, after an edit, if the text goes on after the objects.
    """
    own = [(filled(fact.prompt, fact.subject), fact.object) for fact in facts]
    pairs = own + [(filled(text, fact.subject), fact.object) for fact in facts for text in fact.paraphrases]
    stops = [index for index, fact in enumerate(facts) if fact.stop]
    found = standings(editable.model, editable.tokenizer, pairs, stops=stops)
    asked = iter(found[len(facts) :])
    return Measurement(
        facts=tuple(found[: len(facts)]),
        paraphrases=tuple(tuple(next(asked).rank == 1 for _ in fact.paraphrases) for fact in facts),
        neighbours=answers_of(editable, facts),
        right=() if before is None else kept_right(editable, facts, before.neighbours),
        ends=() if before is None or not ends else _ends(editable, own, found[: len(facts)]),
    )


def _ends(
    editable: EditableModel, asked: Sequence[tuple[str, str]], found: Sequence[Standing]
) -> tuple[bool | None, ...]:
    """For each (prompt, object) that stands first, whether the end of the text or turn stands first after it."""
    words = ModelText.of(editable.tokenizer)
    rows: dict[int, Row] = {}
    for index, ((prompt, text), standing) in enumerate(zip(asked, found, strict=True)):
        end = words.turn_end(rendered=words.chat.recognised(prompt))
        before, wanted = object_row(words, prompt, text, editable.window, f"facts.{index}")
        if standing.rank == 1 and end is not None and len(before) + len(wanted) < editable.window:
            rows[index] = (before, [*wanted, end])
    ended = dict(zip(rows, standings_of_rows(editable.model, list(rows.values())), strict=True))
    return tuple(ended[index].rank == 1 if index in ended else None for index in range(len(asked)))


def compare(facts: Sequence[LoggedFact], before: Measurement, after: Measurement) -> tuple[FactReport, ...]:
    """One report a fact; ``after`` was measured against ``before``."""
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
            taught=fact.taught,
            neighbours=tuple(a == b for a, b in zip(before.neighbours[i], after.neighbours[i], strict=True)),
            neighbours_right=after.right[i],
            ends=after.ends[i] if after.ends else None,
        )
        for i, fact in enumerate(facts)
    )


def share(held: Sequence[bool]) -> float | None:
    """Share of true entries; None if there are no entries."""
    return sum(held) / len(held) if held else None


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of a batch that hold, each in [0, 1], None where the batch named none.

    Facts that were not written do not hold, and their paraphrases do not count. paraphrases: those that were only
    asked, and so tell what follows by itself; taught: the others.
    """

    facts: float
    paraphrases: float | None
    taught: float | None
    neighbours: float | None
    neighbours_right: float | None

    @classmethod
    def of(cls, reports: Sequence[FactReport]) -> Shares:
        """Count the reports."""
        asked = [
            (held, index in report.taught)
            for report in reports
            if report.written
            for index, held in enumerate(report.paraphrases)
        ]
        return cls(
            facts=share([report.holds for report in reports]) or 0.0,
            paraphrases=share([held for held, taught in asked if not taught]),
            taught=share([held for held, taught in asked if taught]),
            neighbours=share([kept for report in reports for kept in report.neighbours]),
            neighbours_right=share([right for report in reports for right in report.neighbours_right]),
        )

    def missed(self, verify: Verify | None) -> list[str]:
        """The bounds that a share is below, by name; a share that is None is not below any."""
        if verify is None:
            return []
        names = ("facts", "paraphrases", "neighbours", "neighbours_right")
        pairs = [(name, getattr(self, name), getattr(verify, name)) for name in names]
        return [name for name, found, bound in pairs if None not in (found, bound) and found < bound]
