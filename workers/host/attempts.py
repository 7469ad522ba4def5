"""A batch edited on one shadow, again and again, each time from the same weights: what each attempt came to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.domain.contract import FactKey, Standing
from app.domain.errors import NonFiniteUpdate
from workers.editing.crew import ALONE, Crew, Updates
from workers.editing.editor import edit
from workers.editing.efforts import Efforts
from workers.editing.knowledge import Admission, KnowledgeBase, KnownFact
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource, plan_layers
from workers.editing.types import Edited, Fact, Known, Observer
from workers.questions.scoring import Row, rows_of, standings_of_rows

Ask = Callable[[EditableModel, Sequence[Row], Updates], list[Standing]]
"""Finds how objects stand in a model (``standings_of_rows``), which is the live one with these updates added."""


def asked_here(editable: EditableModel, rows: Sequence[Row], _added: Updates) -> list[Standing]:
    """By this process alone."""
    return standings_of_rows(editable.model, rows)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A batch as it was solved once.

    members: indices of the batch's facts that were written; admission, edited, efforts: how.
    standings: of each fact of the batch, written or not, under the edited weights.
    lost: companions that held before and do not now.
    """

    members: tuple[int, ...]
    admission: Admission
    edited: Edited
    efforts: Efforts
    standings: tuple[Standing, ...]
    lost: tuple[KnownFact, ...]
    companions_hold: float | None

    def holds(self, index: int) -> bool:
        """Whether a fact of the batch is written, and greedy decoding gives its object."""
        return index in self.members and self.standings[index].rank == 1

    @property
    def unheld(self) -> tuple[int, ...]:
        """Facts that were written and do not hold."""
        return tuple(index for index in self.members if self.standings[index].rank > 1)

    @property
    def held(self) -> int:
        """How many facts hold, less the companions that it lost."""
        return len(self.members) - len(self.unheld) - len(self.lost)

    @property
    def lost_keys(self) -> tuple[FactKey, ...]:
        """Where the lost companions were written."""
        return tuple(FactKey(version=known.version, index=known.index) for known in self.lost)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a batch is edited in: a model that stays as it is, what it was taught, how it is edited, and asked."""

    live: EditableModel
    preset: Preset
    contexts: Sequence[str]
    knowledge: KnowledgeBase
    source: PriorSource
    strict: bool
    observer: Observer
    crew: Crew = ALONE
    ask: Ask = asked_here


class Attempts:
    """Makes attempts at one batch. ``shadow`` has the weights of ``last``."""

    def __init__(self, scene: Scene, facts: Sequence[Fact]) -> None:
        self.scene, self.facts = scene, tuple(facts)
        self.shadow = scene.live.shadow(plan_layers(scene.preset))
        self.last: Attempt | None = None
        self.made = 0

    def make(self, members: Sequence[int], efforts: Efforts, known: Known) -> Attempt:
        """Write those of the batch's facts, from the weights that the model has.

        Raises:
            NonFiniteUpdate: the update, a loss or what the edited model answers is NaN or infinite.
            PalimpsestError: as ``edit`` says. Whatever the observer raises.
        """
        scene, layers = self.scene, plan_layers(self.scene.preset)
        if self.made:
            self._reset()
        self.made += 1
        self.last = None  # should this attempt come to nothing, the shadow is no attempt's
        chosen = [self.facts[index] for index in members]
        admission = scene.knowledge.admit(chosen, layers, strict=scene.strict)
        edited = edit(
            self.shadow,
            chosen,
            scene.preset,
            admission.priors(scene.source, scene.preset),
            scene.contexts,
            companions=admission.facts,
            strict=scene.strict,
            observer=scene.observer,
            known=known,
            efforts=efforts,
            crew=scene.crew,
        )
        self.last = self._looked_at(tuple(members), admission, edited, efforts)
        return self.last

    def be_at(self, attempt: Attempt) -> Attempt:
        """The attempt, made once more if the shadow has another one's weights."""
        if self.last is not attempt:
            return self.make(attempt.members, attempt.efforts, attempt.edited.found)
        return attempt

    def _reset(self) -> None:
        live = self.scene.live
        for layer in plan_layers(self.scene.preset):
            self.shadow.set_master(layer, live.master(layer), live.corrections.get(layer))

    def _looked_at(self, members: tuple[int, ...], admission: Admission, edited: Edited, efforts: Efforts) -> Attempt:
        """How all stand on the shadow."""
        asked = iter(edited.asked)
        texts = [next(asked) if index in members else fact.text for index, fact in enumerate(self.facts)]
        found = self._standings(self.shadow, [*self.facts, *admission.facts], [*texts, *asked], edited.updates)
        own, theirs = found[: len(self.facts)], found[len(self.facts) :]
        companions = zip(admission.companions, edited.asked[len(members) :], theirs, strict=True)
        gone = [(known, text) for known, text, now in companions if now.rank > 1]
        missing = [known for known, _ in gone]
        before = self._standings(self.scene.live, [known.fact for known in missing], [text for _, text in gone], ())
        lost = tuple(known for known, then in zip(missing, before, strict=True) if then.rank == 1)
        share = 1.0 - len(missing) / len(theirs) if theirs else None
        return Attempt(members, admission, edited, efforts, tuple(own), lost, share)

    def _standings(
        self, editable: EditableModel, facts: Sequence[Fact], texts: Sequence[str], added: Updates
    ) -> list[Standing]:
        """How each fact's object stands after its text."""
        pairs = [(text, fact.object) for fact, text in zip(facts, texts, strict=True)]
        stops = [index for index, fact in enumerate(facts) if fact.stop]
        found = self.scene.ask(editable, rows_of(editable.model, editable.tokenizer, pairs, stops), added)
        if not all(math.isfinite(standing.probability) for standing in found):
            raise NonFiniteUpdate("the edited model's answer to a fact is NaN")
        return found
