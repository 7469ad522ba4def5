"""Editing without a service: what `palimpsest apply` runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from workers.editing.batch import refuse_contradictions, slotted
from workers.editing.contexts import contexts_of
from workers.editing.editor import edit
from workers.editing.knowledge import KnowledgeBase
from workers.editing.loading import load
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets import choose_preset
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource, plan_layers
from workers.editing.types import Fact
from workers.host.statistics_store import find_statistics
from workers.models import source_of


class FactLine(BaseModel):
    """One fact of a facts file."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    subject: str
    prompt: str
    object: str


class FactsFile(BaseModel):
    """Batches, edited one after another."""

    batches: tuple[tuple[FactLine, ...], ...]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One batch: ``totals`` by layer are (d_out, d_in), all updates so far against the base weights.

    ``companions`` counts the facts of earlier batches that were optimised together with it.
    """

    number: int
    facts: int
    companions: int
    seconds: float
    totals: dict[int, Tensor]
    update_norms: dict[int, float]

    def as_row(self) -> dict[str, Any]:
        """All but the tensors, for a report."""
        return {
            "batch": self.number,
            "facts": self.facts,
            "companions": self.companions,
            "seconds": self.seconds,
            "update_norms": self.update_norms,
        }


@dataclass(frozen=True, slots=True)
class OfflineModel:
    """A model opened for editing in this process, with all that an edit needs."""

    source: str
    live: EditableModel
    preset: Preset
    contexts: tuple[str, ...]

    @classmethod
    def open(
        cls,
        model: str,
        *,
        device: str,
        dtype: str,
        preset: Path | None = None,
        contexts: Path | None = None,
        method: str | None = None,
        plan: str | None = None,
    ) -> OfflineModel:
        """Load a folder, a hub id or a bundled model; preset and contexts default to the model's own.

        Raises:
            PalimpsestError: the preset, the contexts or the architecture is at fault.
        """
        source = source_of(model)
        live = load(source, device=device, dtype=dtype)
        templates = contexts_of(live, source, contexts)
        return cls(source, live, choose_preset(source, live.depth, preset, method, plan), templates)

    def edit(
        self, batches: Sequence[Sequence[Fact]], statistics: Path | None, data_dir: Path, *, strict: bool
    ) -> Iterator[BatchResult]:
        """Edit batch after batch on a shadow, as the service does; the model itself stays as it was.

        Args:
            strict: the published behaviour. Facts may contradict each other then.

        Raises:
            PalimpsestError: a fact, a layer or the statistics are at fault.
        """
        layers = plan_layers(self.preset)
        found = find_statistics(self.live, self.source, self.preset.layers, data_dir / "statistics", statistics)
        source = PriorSource(self.live, found, self.contexts)
        preset = self.preset.by_numbers() if strict else self.preset
        knowledge, shadow = KnowledgeBase(), self.live.shadow(layers)
        for number, batch in enumerate(batches):
            start = time.monotonic()
            facts = slotted(batch)
            if not strict:
                refuse_contradictions(facts)
            admission = knowledge.admit(facts, layers, strict=strict)
            edited = edit(
                shadow,
                facts,
                preset,
                admission.priors(source, preset),
                self.contexts,
                companions=admission.facts,
                strict=strict,
            )
            knowledge = knowledge.after(number + 1, facts, admission, edited)
            yield BatchResult(
                number,
                len(facts),
                len(admission.companions),
                round(time.monotonic() - start, 3),
                {
                    layer: (shadow.weights(layer).applied - self.live.master(layer)).cpu().contiguous()
                    for layer in layers
                },
                {update.layer: float(update.dense.norm()) for update in edited.updates},
            )
