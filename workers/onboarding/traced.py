"""Layers to edit at, found by causal tracing: one more span that a search tries, beside its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import mean

import torch

from workers.causal_tracing.critical import critical_layers
from workers.causal_tracing.recall import recalled, subject_deviation
from workers.causal_tracing.tracer import Tracer
from workers.editing.model.editable_model import EditableModel
from workers.editing.types import Fact
from workers.onboarding.inspection import Finding
from workers.onboarding.world_facts import WorldFact

TRACED, SAMPLES = 10, 4
"""Facts that are traced, and disturbances of each: TRACED x (depth + 1) forward passes of SAMPLES + 1 rows."""


@dataclass(frozen=True, slots=True)
class Traced:
    """The critical layers, of so many facts that the model knows; none where it knows none, or no layer recalls."""

    critical: tuple[int, ...]
    facts: int

    @classmethod
    def of(cls, live: EditableModel, facts: Sequence[WorldFact]) -> Traced:
        """Trace the first facts whose true object the model gives: the same layers, whenever it is asked."""
        true = (Fact(each.fact.subject, each.fact.prompt, each.truth) for each in facts)
        known = list(islice(recalled(live, true), TRACED))
        if not known:
            return cls((), 0)
        tracer = Tracer(live, subject_deviation(live, known), samples=SAMPLES)
        effects, taken = zip(*(tracer.mlp_effects(fact, number) for number, fact in enumerate(known)), strict=True)
        return cls(critical_layers(torch.stack(effects).mean(0).tolist(), mean(taken)), len(known))

    @property
    def span(self) -> list[int]:
        """First and last of the layers, as a search has them; one where there is one."""
        return sorted({self.critical[0], self.critical[-1]})

    def among(self, spans: Sequence[list[int]]) -> list[list[int]]:
        """The spans of a search with this one behind the first, where the search begins; as they are where it is one
        of them, or where there is none."""
        found = list(spans)
        return found if not self.critical or self.span in found else [found[0], self.span, *found[1:]]

    @property
    def finding(self) -> Finding:
        """A line for the terminal and the card."""
        layers = ", ".join(map(str, self.critical)) or "none"
        return Finding("critical layers by tracing", f"{layers}, of {self.facts} facts that the model knows")
