"""Which of a version's facts an export gives that is not its version to the last digit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from app.domain.contract import FactKey
from app.domain.history.lineage import HeldFact
from app.domain.prompts import filled
from workers.editing.model.editable_model import EditableModel
from workers.exports.content import Content
from workers.questions.scoring import standings


@dataclass(frozen=True, slots=True)
class Recall:
    """All facts in force, asked for. held: how many the version gives; lost: those of them that the export does not."""

    held: int
    lost: tuple[FactKey, ...]

    @classmethod
    def of(cls, content: Content, exported: EditableModel) -> Self:
        """Ask the version, and then the export."""
        facts = given(content.shadow, content.log.history(content.version).facts(content.version))
        kept = {each.key for each in given(exported, facts)}
        return cls(len(facts), tuple(each.key for each in facts if each.key not in kept))


def given(editable: EditableModel, facts: Sequence[HeldFact]) -> list[HeldFact]:
    """Those whose object greedy decoding gives after the prompt, with the end of the turn where they have a stop."""
    pairs = [(filled(each.fact.prompt, each.fact.subject), each.fact.object) for each in facts]
    stops = [index for index, each in enumerate(facts) if each.fact.stop]
    found = standings(editable.model, editable.tokenizer, pairs, stops=stops)
    return [each for each, standing in zip(facts, found, strict=True) if standing.rank == 1]
