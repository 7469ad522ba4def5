"""One batch on its way to becoming a version: computed and verified on a shadow, until somebody commits it."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence

import torch

from app.domain.contract import EditBatch, EditReport, Progress
from app.domain.edit_log import Draft, LoggedFact
from app.domain.errors import EditError
from workers.editing.architectures import EditableModel
from workers.editing.editor import edit
from workers.editing.lookup import with_slot
from workers.editing.preset import Preset
from workers.editing.priors import plan_layers
from workers.editing.types import Fact, Priors, WeightUpdate
from workers.evaluation.batch_report import Shares, compare, measure
from workers.update_files import UPDATE_FILE, as_kept, pack

FACT_FIELD_PARTS = 3
"""``facts``, the fact's index, and the field's name."""

VERIFYING = 0.95
"""Share of a job that is done when only verification, commit and publish are left."""


def logged_facts(batch: EditBatch) -> tuple[LoggedFact, ...]:
    """The batch's facts as the log keeps them: every prompt with exactly one slot.

    Raises:
        RequestError: the subject cannot be found in a prompt; the field names the fact's index.
    """
    found = []
    for index, fact in enumerate(batch.facts):
        try:
            prompt = with_slot(fact.subject, fact.template)
        except EditError as error:
            raise error.at(f"facts.{index}") from None
        rest = fact.model_dump(include={"subject", "object", "previous", "id", "paraphrases", "neighbours"})
        found.append(LoggedFact(prompt=prompt, **rest))
    return tuple(found)


def as_sent(error: EditError, batch: EditBatch) -> EditError:
    """The error with its field as the caller named it: a prompt that was made of a relation is the relation."""
    parts = (error.field or "").split(".")
    if len(parts) == FACT_FIELD_PARTS and parts[2] == "prompt" and batch.facts[int(parts[1])].relation is not None:
        error.field = f"facts.{parts[1]}.relation"
    return error


def as_facts(facts: Sequence[LoggedFact]) -> list[Fact]:
    """The same facts in the engine's terms."""
    return [Fact(fact.subject, fact.prompt, fact.object) for fact in facts]


class Proposal:
    """A batch, its shadow, and what came of it. After an error it is thrown away, and nothing happened."""

    def __init__(
        self,
        live: EditableModel,
        batch: EditBatch,
        preset: Preset,
        contexts: Sequence[str],
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], None],
    ) -> None:
        self.batch, self.preset, self.contexts = batch, preset, contexts
        self.facts = logged_facts(batch)
        self.layers = plan_layers(preset)
        self.shadow = live.shadow(self.layers)
        self.updates: list[WeightUpdate] = []
        self.report: EditReport | None = None
        self._tell = _Telling(on_progress, should_stop, len(self.layers))

    def compute(self, priors: Priors) -> EditReport:
        """Edit the shadow and measure it, before and after.

        Raises:
            EditError: as ``editing.editor.edit`` says, or the job was stopped.
        """
        start = time.monotonic()
        before = measure(self.shadow, self.facts)
        kept = edit(
            self.shadow,
            as_facts(self.facts),
            self.preset,
            priors,
            self.contexts,
            strict=self.batch.strict,
            observer=self._tell,
        )
        self.updates = [as_kept(update) for update in kept]
        self._tell.verifying()
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
            update_norms={update.layer: float(torch.linalg.matrix_norm(update.dense)) for update in self.updates},
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
        return Draft(
            version=version,
            kind="edit",
            job=job_id,
            facts=self.facts,
            method=self.preset.method,
            plan=self.preset.plan,
            strict=self.batch.strict,
            hyperparameters=self.preset.as_dict(),
            report=self.report,
            epoch=epoch,
        )

    def files(self) -> dict[str, bytes]:
        """The version's tensor files by name."""
        return {UPDATE_FILE: pack(self.updates)}


class _Telling:
    """The engine's observer: turns its steps into progress, and stops it when asked to."""

    def __init__(self, on_progress: Callable[[Progress], None], should_stop: Callable[[], None], layers: int) -> None:
        self._on_progress, self._should_stop, self._layers = on_progress, should_stop, layers
        self._solved = 0

    def targets(self, layer: int, step: int, steps: int, loss: float, done: int, facts: int) -> None:
        """Progress of the target optimisation; facts that have converged count as done."""
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
