"""One batch on its way to becoming a version: computed and verified on a shadow, until somebody commits it."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from app.domain.contract import EditBatch, EditReport, FactReport
from app.domain.failpoints import Point, failpoint
from app.domain.manifest import Companion, Draft, LoggedFact
from workers.editing.editor import edit
from workers.editing.knowledge import Admission, KnowledgeBase
from workers.editing.methods import find_method
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource, plan_layers
from workers.editing.types import Edited
from workers.evaluation.batch_report import Shares, compare, measure, share_held
from workers.host.candidate import Candidate
from workers.host.edit_steps import EditSteps
from workers.host.turn import NextVersion
from workers.steps import Steps
from workers.versions.logged_facts import as_facts, logged_facts
from workers.versions.update_files import UPDATE_FILE, as_kept, pack


@dataclass(frozen=True, slots=True)
class Proposal:
    """A batch and what came of it on its shadow. If it is thrown away, nothing happened."""

    batch: EditBatch
    preset: Preset
    facts: tuple[LoggedFact, ...]
    knowledge: KnowledgeBase
    admission: Admission
    shadow: EditableModel
    edited: Edited
    report: EditReport

    @property
    def satisfies(self) -> bool:
        """Whether the batch's own bounds hold."""
        return Shares.of(self.report.facts).satisfy(self.batch.verify)

    def candidate(self, upcoming: NextVersion) -> Candidate:
        """The version to be committed."""
        version = upcoming.version
        knowledge = self.knowledge.after(version, as_facts(self.facts), self.admission, self.edited)
        return Candidate(self.shadow, knowledge, self._draft(upcoming), {UPDATE_FILE: pack(self.edited.updates)})

    def _draft(self, upcoming: NextVersion) -> Draft:
        own = len(self.facts)
        facts = zip(self.facts, self.edited.columns[:own], strict=True)
        companions = zip(self.admission.companions, self.edited.columns[own:], strict=True)
        return Draft(
            version=upcoming.version,
            kind="edit",
            job=upcoming.job_id,
            facts=tuple(fact.model_copy(update={"column": column}) for fact, column in facts),
            companions=tuple(Companion(version=f.version, index=f.index, column=column) for f, column in companions),
            retired=tuple(sorted(self.admission.retired)),
            method=self.preset.method,
            plan=self.preset.plan,
            strict=self.batch.strict,
            indivisible=find_method(self.preset.method).tune is not None,
            hyperparameters=self.preset.as_dict(),
            report=self.report,
            epoch=upcoming.epoch,
        )


def propose(
    live: EditableModel,
    batch: EditBatch,
    preset: Preset,
    contexts: Sequence[str],
    knowledge: KnowledgeBase,
    source: PriorSource,
    steps: Steps,
) -> Proposal:
    """Edit a batch on a shadow of the live model, and measure it, before and after.

    Raises:
        PalimpsestError: as ``editing.editor.edit`` says. Whatever ``steps`` raises.
    """
    start = time.monotonic()
    facts, layers = logged_facts(batch), plan_layers(preset)
    admission = knowledge.admit(as_facts(facts), layers, strict=batch.strict)
    shadow, observer = live.shadow(layers), EditSteps(steps, len(layers))
    failpoint(Point.TARGETS_BEFORE)
    before = measure(shadow, facts)
    edited = edit(
        shadow,
        as_facts(facts),
        preset,
        admission.priors(source, preset),
        contexts,
        companions=admission.facts,
        strict=batch.strict,
        observer=observer,
    )
    kept = Edited([as_kept(update) for update in edited.updates], edited.columns)
    observer.verifying()
    reports = compare(facts, before, measure(shadow, facts))
    report = _report(shadow, batch, preset, source.ridges(preset), admission, kept, reports, start)
    return Proposal(batch, preset, facts, knowledge, admission, shadow, kept, report)


def _report(
    shadow: EditableModel,
    batch: EditBatch,
    preset: Preset,
    ridges: dict[int, float],
    admission: Admission,
    edited: Edited,
    reports: tuple[FactReport, ...],
    start: float,
) -> EditReport:
    """How the batch stands on the edited shadow. ``start``: when it was begun (seconds, monotonic)."""
    shares = Shares.of(reports)
    return EditReport(
        method=preset.method,
        plan=preset.plan,
        layers=plan_layers(preset),
        strict=batch.strict,
        hyperparameters=preset.as_dict(),
        ridges=ridges,
        facts=reports,
        facts_hold=shares.facts,
        paraphrases_hold=shares.paraphrases,
        neighbours_keep=shares.neighbours,
        companions=len(admission.companions),
        companions_hold=share_held(shadow, admission.facts),
        update_norms={update.layer: float(torch.linalg.matrix_norm(update.dense)) for update in edited.updates},
        seconds=round(time.monotonic() - start, 3),
        peak_memory_mb=_peak_memory_mb(shadow.device),
    )


def _peak_memory_mb(device: torch.device) -> float:
    """Peak memory of the device, or of the process on a CPU, in MB (10⁶ bytes)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
