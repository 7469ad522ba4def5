"""One batch on its way to becoming a version: computed and verified on a shadow, until somebody commits it."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from app.domain.contract import EditBatch, EditReport, FactReport, Harm
from app.domain.failpoints import Point, failpoint
from app.domain.manifest import Companion, Draft, LoggedFact
from workers.editing.batch import tokenise_batch
from workers.editing.knowledge import Admission, KnowledgeBase
from workers.editing.methods import find_method
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource, plan_layers
from workers.editing.text.model_text import ModelText
from workers.editing.types import Edited
from workers.evaluation.batch_report import Shares
from workers.evaluation.harm import HarmMeter, Outlook, beyond_bounds, refuse_flat
from workers.host.attempts import Attempts, Scene
from workers.host.candidate import Candidate
from workers.host.edit_steps import EditSteps
from workers.host.fact_reports import fact_reports, unwritten
from workers.host.turn import NextVersion
from workers.host.unheld import Settled, settle
from workers.spreading.spreading import Spreading
from workers.steps import Steps
from workers.versions.logged_facts import as_facts, logged_facts
from workers.versions.update_files import UPDATE_FILE, as_kept, pack


@dataclass(frozen=True, slots=True)
class Proposal:
    """A batch and what came of it on its shadow. If it is thrown away, nothing happened.

    facts: those that are written. outlook: of the shadow, where texts are kept to measure harm on.
    """

    batch: EditBatch
    preset: Preset
    facts: tuple[LoggedFact, ...]
    knowledge: KnowledgeBase
    admission: Admission
    shadow: EditableModel
    edited: Edited
    report: EditReport
    outlook: Outlook | None

    @property
    def satisfies(self) -> bool:
        """Whether it may be committed: its facts hold as the batch wants it, and its own bounds are kept."""
        return self.report.rejected is None

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
            by=upcoming.by,
            facts=tuple(fact.model_copy(update={"column": column}) for fact, column in facts),
            companions=tuple(Companion(version=f.version, index=f.index, column=column) for f, column in companions),
            retired=tuple(sorted(self.admission.retired)),
            method=self.preset.method,
            plan=self.preset.plan,
            strict=self.batch.strict,
            indivisible=find_method(self.preset.method).tune is not None,
            hyperparameters=self.preset.as_dict(),
            report=self.report,
            proposal=upcoming.proposal,
            approved_by=upcoming.approved_by,
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
    meter: HarmMeter,
    version: int,
    crew: Spreading,
) -> Proposal:
    """Edit a batch on a shadow of the live model, which is at ``version``, and measure it, before and after.

    crew: who computes what is independent fact by fact.

    Raises:
        DeadVersion: the edited model says nothing any more.
        PalimpsestError: as ``editing.editor.edit`` says. Whatever ``steps`` raises.
    """
    start = time.monotonic()
    facts, layers = logged_facts(batch, ModelText.of(live.tokenizer)), plan_layers(preset)
    observer = EditSteps(steps, len(layers))
    scene = Scene(live, preset, contexts, knowledge, source, batch.strict, observer, crew, crew.standings)
    attempts = Attempts(scene, as_facts(facts))
    failpoint(Point.TARGETS_BEFORE)
    before = crew.measure(attempts.shadow, facts, None, ())
    settled = settle(attempts, batch.policy)
    observer.verifying()
    shadow, last = attempts.shadow, settled.attempt
    after = crew.measure(shadow, facts, before, last.edited.updates)
    reports = fact_reports(settled, preset, facts, before, after)
    outlook, harm = _harm(shadow, facts, contexts, meter, version)
    report = _report(attempts, batch, settled, reports, harm, start).model_copy(update={"spread": crew.report})
    written = tuple(facts[index] for index in last.members)
    kept = replace(last.edited, updates=[as_kept(update) for update in last.edited.updates])
    return Proposal(batch, preset, written, knowledge, last.admission, shadow, kept, report, outlook)


def _harm(
    shadow: EditableModel, facts: Sequence[LoggedFact], contexts: Sequence[str], meter: HarmMeter, version: int
) -> tuple[Outlook | None, Harm | None]:
    """What the shadow does to other text; without texts, at least that it still speaks.

    Raises:
        DeadVersion: it does not.
    """
    if not meter.ready:
        rows = [fact.prompts[0] for fact in tokenise_batch(shadow, as_facts(facts), contexts[:1])]
        refuse_flat(shadow, [row.ids for row in rows])
        return None, None
    outlook = meter.outlook(shadow)
    return outlook, meter.harm(outlook, version)


def _report(
    attempts: Attempts,
    batch: EditBatch,
    settled: Settled,
    reports: tuple[FactReport, ...],
    harm: Harm | None,
    start: float,
) -> EditReport:
    """How the batch stands on the edited shadow. ``start``: when it was begun (seconds, monotonic)."""
    shares, preset, last = Shares.of(reports), attempts.scene.preset, settled.attempt
    rejected = settled.rejected or _beyond(batch, shares, harm)
    if rejected is not None:
        reports = unwritten(reports)
    return EditReport(
        method=preset.method,
        plan=preset.plan,
        layers=plan_layers(preset),
        strict=batch.strict,
        hyperparameters=preset.as_dict(),
        ridges=attempts.scene.source.ridges(preset),
        facts=reports,
        facts_hold=shares.facts,
        paraphrases_hold=shares.paraphrases,
        taught_hold=shares.taught,
        neighbours_keep=shares.neighbours,
        neighbours_right=shares.neighbours_right,
        unheld=batch.policy,
        attempts=attempts.made,
        rejected=rejected,
        harm=harm,
        companions=len(last.admission.companions),
        companions_hold=last.companions_hold,
        companions_lost=last.lost_keys,
        update_norms={update.layer: float(torch.linalg.matrix_norm(update.dense)) for update in last.edited.updates},
        seconds=round(time.monotonic() - start, 3),
        peak_memory_mb=_peak_memory_mb(attempts.shadow.devices),
    )


def _beyond(batch: EditBatch, shares: Shares, harm: Harm | None) -> str | None:
    """Which of the batch's own bounds are not kept, as one sentence."""
    missed = shares.missed(batch.verify)
    if batch.verify is not None and harm is not None:
        missed += beyond_bounds(harm, batch.verify)
    return f"beyond the bounds of verify: {', '.join(missed)}" if missed else None


def _peak_memory_mb(devices: Sequence[torch.device]) -> float:
    """The sum of the devices' peaks of memory, or the peak of the process on a CPU, in MB (10⁶ bytes)."""
    if all(device.type == "cuda" for device in devices):
        return sum(torch.cuda.max_memory_allocated(device) for device in devices) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
