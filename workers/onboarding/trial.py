"""One try of a preset: facts about the world are written on a shadow, and what that did is counted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from workers.editing.editor import edit
from workers.editing.knowledge import KnowledgeBase
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource, plan_layers
from workers.editing.text.model_text import ModelText
from workers.evaluation.fluency import ngram_entropy
from workers.evaluation.likelihoods import Asked, scored
from workers.onboarding.world_facts import NEIGHBOURS, WorldFact
from workers.questions.decoding import MAX_BATCH_TOKENS, Start, continuations

BATCH = 10
"""Facts are written in batches of so many, one after another."""

PARAPHRASES = 2

TOLD = 40
"""Tokens of a greedy text about a subject."""

TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial found: shares in [0, 1], and how long a fact took.

    hold: of the facts whose object is given greedily. paraphrases: of those that give it too. neighbours: of the known
    ones whose own answer is likelier than the new object; by mean NLL a token, as CounterFact counts. They are the
    figures of an edit's report: facts_hold, paraphrases_hold, neighbours_right. fluency: n-gram entropy of greedy texts
    about the edited subjects, as a share of the unedited model's (more counts as 1): an object that is pressed too hard
    is repeated where the subject is spoken of.
    """

    hold: float
    paraphrases: float
    neighbours: float
    fluency: float
    seconds: float

    @property
    def score(self) -> float:
        """The harmonic mean of the four shares."""
        shares = (self.hold, self.paraphrases, self.neighbours, self.fluency)
        return 0.0 if min(shares) == 0 else len(shares) / sum(1 / share for share in shares)


@dataclass(frozen=True)  # without slots, which leave no place to keep what was measured once
class Bench:
    """A model, and the facts that presets are tried on. The model itself stays as it is."""

    live: EditableModel
    priors: PriorSource
    contexts: tuple[str, ...]
    facts: tuple[WorldFact, ...]

    def over(self, facts: Sequence[WorldFact]) -> Bench:
        """The same with other facts."""
        return replace(self, facts=tuple(facts))

    @cached_property
    def fluency(self) -> float:
        """The unedited model's, about the same subjects."""
        return fluency_of(self.live, self.facts)

    def run(self, preset: Preset) -> Outcome:
        """Write all facts with this preset, and count.

        Raises:
            PalimpsestError: the preset does not fit the model, or the edit came to nothing.
        """
        shadow, knowledge = self.live.shadow(plan_layers(preset)), KnowledgeBase()
        start = time.monotonic()
        for number, first in enumerate(range(0, len(self.facts), BATCH), start=1):
            facts = [each.fact for each in self.facts[first : first + BATCH]]
            admission = knowledge.admit(facts, plan_layers(preset), strict=False)
            found = admission.priors(self.priors, preset)
            edited = edit(shadow, facts, preset, found, self.contexts, companions=admission.facts)
            knowledge = knowledge.after(number, facts, admission, edited)
        seconds = (time.monotonic() - start) / len(self.facts)
        fluency = fluency_of(shadow, self.facts) / max(self.fluency, TINY)
        return Outcome(*counted(shadow, self.facts), min(fluency, 1.0), seconds)


def fluency_of(editable: EditableModel, facts: Sequence[WorldFact]) -> float:
    """Mean n-gram entropy of what the model tells of the facts' subjects, in bits."""
    words = ModelText.of(editable.tokenizer)
    prompts = [_told(words, each.fact.subject) for each in facts]
    starts = [Start(list(words.encode(prompt).ids), TOLD) for prompt in prompts]
    found = continuations(editable.model, editable.tokenizer, starts, max_batch_tokens=MAX_BATCH_TOKENS)
    return sum(ngram_entropy(each.new) for each in found) / len(found)


def _told(words: ModelText, subject: str) -> str:
    """A prompt that asks a chat model to tell of the subject, and begins to tell of it for any other."""
    if not words.chat.openings:
        return f"{subject} is"
    return words.chat.render([{"role": "user", "content": f"Tell me about {subject}."}])


def counted(editable: EditableModel, facts: Sequence[WorldFact]) -> tuple[float, float, float]:
    """Shares of facts that hold, of paraphrases that follow and of neighbours that stay, each in [0, 1].

    Nothing asked counts as all right.
    """
    own = [(each.fact.text, each.fact.object) for each in facts]
    new = [(text, each.fact.object) for each in facts for text in each.paraphrases[:PARAPHRASES]]
    kept = [(text, each.neighbour_answer) for each in facts for text in each.neighbours]
    wrong = [(text, each.fact.object) for each in facts for text in each.neighbours]
    found = iter(scored(editable, [*own, *new, *kept, *wrong]))
    held, following, staying, spoilt = ([next(found) for _ in part] for part in (own, new, kept, wrong))
    return (
        _share([each.standing.rank == 1 for each in held]),
        _share([each.standing.rank == 1 for each in following]),
        _share([one.nll < other.nll for one, other in zip(staying, spoilt, strict=True)]),
    )


def known_to(editable: EditableModel, facts: Sequence[WorldFact]) -> list[WorldFact]:
    """The facts with those of their neighbours alone that the model answers rightly; a fact without any is left out."""
    pairs: list[Asked] = [(text, each.neighbour_answer) for each in facts for text in each.neighbours]
    found = iter(scored(editable, pairs))
    known = [tuple(text for text in each.neighbours if next(found).standing.rank == 1) for each in facts]
    return [replace(each, neighbours=kept[:NEIGHBOURS]) for each, kept in zip(facts, known, strict=True) if kept]


def _share(held: Sequence[bool]) -> float:
    return sum(held) / len(held) if held else 1.0
