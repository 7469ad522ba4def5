"""One batch on its way to becoming a version: computed and verified on a shadow, until somebody commits it."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence

import torch

from app.domain.contract import EditBatch, EditReport, Progress
from app.domain.failpoints import Point, failpoint
from app.domain.manifest import Companion, Draft
from workers.editing.editor import edit
from workers.editing.knowledge import KnowledgeBase
from workers.editing.methods import find_method
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource, plan_layers
from workers.editing.types import Edited
from workers.evaluation.batch_report import Shares, compare, measure, share_held
from workers.versions.logged_facts import as_facts, logged_facts
from workers.versions.update_files import UPDATE_FILE, as_kept, pack

VERIFYING = 0.95
"""Share of a job that is done when only verification, commit and publish are left."""


class Proposal:
    """A batch, its shadow, and what came of it. After an error it is thrown away, and nothing happened."""

    def __init__(
        self,
        live: EditableModel,
        batch: EditBatch,
        preset: Preset,
        contexts: Sequence[str],
        knowledge: KnowledgeBase,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], None],
    ) -> None:
        self.batch, self.preset, self.contexts = batch, preset, contexts
        self.facts = logged_facts(batch)
        self.layers = plan_layers(preset)
        self.knowledge = knowledge
        self.admission = knowledge.admit(as_facts(self.facts), self.layers, strict=batch.strict)
        self.shadow = live.shadow(self.layers)
        self.edited = Edited([], ())
        self.report: EditReport | None = None
        self._tell = _Telling(on_progress, should_stop, len(self.layers))

    def compute(self, source: PriorSource) -> EditReport:
        """Edit the shadow and measure it, before and after.

        Raises:
            EditError: as ``editing.editor.edit`` says, or the job was stopped.
        """
        start = time.monotonic()
        failpoint(Point.TARGETS_BEFORE)
        before = measure(self.shadow, self.facts)
        edited = edit(
            self.shadow,
            as_facts(self.facts),
            self.preset,
            self.admission.priors(source, self.preset),
            self.contexts,
            companions=self.admission.facts,
            strict=self.batch.strict,
            observer=self._tell,
        )
        self.edited = Edited([as_kept(update) for update in edited.updates], edited.columns)
        self._tell.verifying()
        failpoint(Point.VERIFY_BEFORE)
        reports = compare(self.facts, before, measure(self.shadow, self.facts))
        shares = Shares.of(reports)
        self.report = EditReport(
            method=self.preset.method,
            plan=self.preset.plan,
            layers=self.layers,
            strict=self.batch.strict,
            hyperparameters=self.preset.as_dict(),
            facts=reports,
            facts_hold=shares.facts,
            paraphrases_hold=shares.paraphrases,
            neighbours_keep=shares.neighbours,
            companions=len(self.admission.companions),
            companions_hold=share_held(self.shadow, self.admission.facts),
            update_norms={
                update.layer: float(torch.linalg.matrix_norm(update.dense)) for update in self.edited.updates
            },
            seconds=round(time.monotonic() - start, 3),
            peak_memory_mb=_peak_memory_mb(self.shadow.device),
        )
        return self.report

    def satisfies(self) -> bool:
        """Whether the batch's own bounds hold."""
        assert self.report is not None
        return Shares.of(self.report.facts).satisfy(self.batch.verify)

    def draft(self, job_id: str, version: int, epoch: int) -> Draft:
        """The version to be committed."""
        own = len(self.facts)
        facts = zip(self.facts, self.edited.columns[:own], strict=True)
        companions = zip(self.admission.companions, self.edited.columns[own:], strict=True)
        return Draft(
            version=version,
            kind="edit",
            job=job_id,
            facts=tuple(fact.model_copy(update={"column": column}) for fact, column in facts),
            companions=tuple(Companion(version=f.version, index=f.index, column=column) for f, column in companions),
            retired=tuple(sorted(self.admission.retired)),
            method=self.preset.method,
            plan=self.preset.plan,
            strict=self.batch.strict,
            indivisible=find_method(self.preset.method).tune is not None,
            hyperparameters=self.preset.as_dict(),
            report=self.report,
            epoch=epoch,
        )

    def files(self) -> dict[str, bytes]:
        """The version's tensor files by name."""
        return {UPDATE_FILE: pack(self.edited.updates)}

    def knowledge_as(self, version: int) -> KnowledgeBase:
        """What the model knows once this is committed as ``version``."""
        return self.knowledge.after(version, as_facts(self.facts), self.admission, self.edited)


class _Telling:
    """The engine's observer: turns its steps into progress, and stops it when asked to."""

    def __init__(self, on_progress: Callable[[Progress], None], should_stop: Callable[[], None], layers: int) -> None:
        self._on_progress, self._should_stop, self._layers = on_progress, should_stop, layers
        self._solved = 0

    def targets(self, layer: int, step: int, steps: int, loss: float, done: int, facts: int) -> None:
        """Progress of the target optimisation; facts that have converged count as done."""
        failpoint(Point.TARGETS_STEP)
        self._should_stop()
        within = max(step / steps, done / facts)
        share = VERIFYING * min(self._solved + within, self._layers) / self._layers
        self._on_progress(
            Progress(
                stage="targets",
                layer=layer,
                step=step,
                steps=steps,
                loss=loss,
                facts_done=done,
                facts=facts,
                share=share,
            )
        )

    def solving(self, layer: int) -> None:
        """A layer's targets are found."""
        failpoint(Point.SOLVE_BEFORE)
        self._should_stop()
        self._solved += 1
        share = VERIFYING * self._solved / self._layers
        self._on_progress(Progress(stage="solve", layer=layer, share=share))

    def verifying(self) -> None:
        """All layers are solved."""
        self._should_stop()
        self._on_progress(Progress(stage="verify", share=VERIFYING))


def _peak_memory_mb(device: torch.device) -> float:
    """Peak memory of the device, or of the process on a CPU, in MB (10⁶ bytes)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
