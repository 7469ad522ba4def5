"""A sequence of batches, each edited as the service edits it: through a host, into an edit log of the run's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.domain.contract import Drift, EditBatch, JobOutcome, UnusableRecord
from app.domain.errors import PalimpsestError, RequestError
from app.domain.imports.reading import Rippled
from app.domain.imports.records import Unusable
from app.domain.settings import DATA_DIR
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.experiments.answers import Prompted, answers, plainly, refuse_unaskable, told_before
from workers.experiments.cases import Case, DataSet, batches
from workers.experiments.free_text import free_text
from workers.experiments.machine import peak_memory_mb
from workers.experiments.probes import probed, refuse_unprobeable
from workers.experiments.questions_asked import ask, askable, resting_on
from workers.experiments.references import Consistency, References, consistency
from workers.experiments.retention import standing, superseded
from workers.experiments.run_folder import UNASKED, BatchLine, Checkpoint, RunFolder, Unedited, Wanted
from workers.experiments.summary import Summary
from workers.host.host_settings import HostSettings
from workers.host.model_host import ModelHost
from workers.host.turn import Turn
from workers.host.work import carry_out
from workers.sources import source_of
from workers.steps import Unwatched

Heard = Callable[[str], None]
"""Hears in a line how far a run is."""


@contextmanager
def host_of(folder: RunFolder, wanted: Wanted, device: str, data_dir: Path = DATA_DIR) -> Iterator[ModelHost]:
    """The model at the newest version of the run's own log, which it leads as long as the block lasts.

    Raises:
        PalimpsestError: as ``ModelHost.open`` does. LogLocked: another process works on this run.
    """
    source = source_of(wanted.model, data_dir)
    settings = HostSettings(
        source=source,
        name=Path(source).name,
        log_root=folder.log,
        data_dir=data_dir,
        epoch_hint=lambda: 1,
        device=device,
        dtype=wanted.dtype,
        layers=tuple(wanted.hyperparameters.layers or ()),
        earlier_versions=1,
    )
    with closing(ModelHost.open(settings)) as host:
        host.lead()
        yield host


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its folder, what it is, the model, the cases that are edited, in order, and the records that are not.

    rippled: what is asked beyond the cases. unasked: the questions of it that are not.
    """

    folder: RunFolder
    wanted: Wanted
    host: ModelHost
    cases: Sequence[Case]
    unusable: Sequence[UnusableRecord]
    rippled: Sequence[Rippled]
    unasked: Sequence[UnusableRecord]
    heard: Heard
    references: References | None = None

    @classmethod
    def over(cls, folder: RunFolder, wanted: Wanted, host: ModelHost, data: DataSet, heard: Heard) -> Run:
        """The first cases of a data set that this model can be taught.

        Raises:
            RequestError: there are none, or the method, the plan or a hyperparameter is at fault.
        """
        host.preset_for(_batch(wanted, ()))  # before all records are looked at
        ordered = data if wanted.seed is None else data.shuffled(wanted.seed)
        chosen, refused = _editable(host, ordered.cases, wanted.facts)
        unusable = (*data.unusable, *refused)
        folder.note_unusable(unusable)
        if not chosen:
            raise RequestError("no record of the data set can be edited", field="dataset", value=data.name)
        resting = resting_on(data.rippled, [case.place for case in chosen])
        rippled, too_long = askable(host.live, resting, wanted.questions)
        unasked = (*data.unasked, *too_long)
        if data.rippled or unasked:
            folder.note_unusable(unasked, UNASKED)
        return cls(folder, wanted, host, chosen, unusable, rippled, unasked, heard)

    @property
    def preset(self) -> Preset | None:
        """What the batches are edited with; None where nothing is edited."""
        return self.host.preset_for(_batch(self.wanted, ()))

    def prompted(self, case: Case, prompt: str) -> str:
        """How a question is put once the case has been edited."""
        return plainly(case, prompt)

    def go(self) -> Iterator[Checkpoint]:
        """Edit what has not been edited, and yield every checkpoint; those that are there already are read.

        Raises:
            PalimpsestError: something is wrong with the log or the model. A batch that fails is noted, and left out.
        """
        unedited = self.folder.unedited or self._ask_unedited()
        lines = self.folder.lines()
        for index, batch in enumerate(batches(self.cases, self.wanted.batch)):
            if index >= len(lines):
                lines.append(self._edit(index, batch))
                self.folder.note(lines)
            done = min((index + 1) * self.wanted.batch, len(self.cases))
            if done == len(self.cases) or done // self.wanted.every > index * self.wanted.batch // self.wanted.every:
                yield self.folder.checkpoint(done) or self._look(done, lines, unedited, later=len(lines) - index - 1)

    def _ask_unedited(self) -> Unedited:
        self.heard(f"{len(self.cases)} facts are asked of the unedited model")
        model = self.host.live.unedited()
        found = Unedited(
            plain=tuple(answers(model, self.cases)),
            told=tuple(answers(model, self.cases, told_before)),
            free=free_text(model, self._spoken(len(self.cases))) if self.wanted.spoken else None,
            rippled=ask(model, self.rippled, conditions=True),
            probes=tuple(probed(model, self.cases)),
            consistency=self._consistency(model, len(self.cases), plainly),
        )
        self.folder.note_unedited(found)
        return found

    def _edit(self, index: int, batch: Sequence[Case]) -> BatchLine:
        """One batch. One that was committed before the run was stopped is not edited again."""
        started = time.monotonic()
        turn = Turn(f"{index:016x}", _batch(self.wanted, batch), self.host.version)
        committed = self.host.committed(turn.job_id)
        error = None
        try:
            outcome = committed or carry_out(self.host, turn, Unwatched())
        except PalimpsestError as raised:
            outcome, error = None, f"{raised.code}: {raised.detail}"
        line = BatchLine(
            batch=index,
            status="failed" if outcome is None else outcome.status.value,
            version=None if outcome is None else outcome.version,
            facts=len(batch),
            written=_written(outcome),
            seconds=None if committed else time.monotonic() - started,
            error=error,
        )
        self.heard(f"batch {index + 1}: {line.status}, {line.written} of {line.facts} facts written")
        return line

    def _look(self, done: int, lines: Sequence[BatchLine], unedited: Unedited, *, later: int) -> Checkpoint:
        """How all facts so far stand in the version that is in service now.

        Raises:
            RequestError: ``later`` batches have been edited since, so the checkpoint was taken away.
        """
        if later:
            raise RequestError(f"the checkpoint of {done} facts is gone from the run's folder", field="folder")
        model, cases = self.host.live, self.cases[:done]
        found = answers(model, cases, self.prompted)
        without = superseded(cases)
        now, before = standing(found, without), standing(unedited.plain[:done], without)
        first = self.wanted.batch
        checkpoint = Checkpoint(
            facts=done,
            written=sum(line.written for line in lines),
            summary=Summary.of(now, before),
            first=Summary.of(now[:first], before[:first]),
            free=free_text(model, self._spoken(done), self.prompted) if self.wanted.spoken else None,
            drift=self._drift(),
            norms=self._norms(),
            log_bytes=self.folder.log_bytes,
            peak_memory_mb=peak_memory_mb(),
            answers=tuple(found),
            rippled=ask(model, resting_on(self.rippled, [case.place for case in cases])),
            superseded=without,
            probes=tuple(probed(model, cases, self.prompted)),
            consistency=self._consistency(model, done, self.prompted),
        )
        self.folder.note_checkpoint(checkpoint)
        self.heard(f"{done} facts looked at")
        return checkpoint

    def _spoken(self, done: int) -> Sequence[Case]:
        """Those of which free text is asked: the first ones that stand."""
        return standing(self.cases[:done], superseded(self.cases[:done]))[: self.wanted.spoken]

    def _consistency(self, model: EditableModel, done: int, prompted: Prompted) -> Consistency | None:
        if self.references is None:
            return None
        return consistency(model, self._spoken(done), self.references, prompted)

    def _drift(self) -> Drift | None:
        harm = self.host.harm
        return harm.harm(harm.outlook(self.host.live), self.host.version).base if harm.ready else None

    def _norms(self) -> dict[int, float]:
        live = self.host.live
        return {
            layer: float((live.weights(layer).applied - live.base(layer)).norm() / live.base(layer).norm())
            for layer in sorted(live.masters)
        }


def _editable(host: ModelHost, cases: Sequence[Case], most: int) -> tuple[list[Case], list[UnusableRecord]]:
    """The first ``most`` cases that this model can be taught and asked, and those before them that it cannot."""
    chosen: list[Case] = []
    refused: list[UnusableRecord] = []
    for case in cases:
        if len(chosen) == most:
            break
        try:
            host.check(EditBatch(facts=(case.fact,)))
            refuse_unaskable(host.live, case)
            refuse_unprobeable(host.live, case)
            chosen.append(case)
        except PalimpsestError as error:
            refused.append(Unusable.of(error).at(case.record, None))
    return chosen, refused


def _batch(wanted: Wanted, cases: Sequence[Case]) -> EditBatch:
    """A batch as a request would ask for it; of a fact that it edits twice it has the later."""
    return EditBatch.model_construct(
        facts=tuple(case.fact for case in standing(cases, superseded(cases))),
        method=wanted.method,
        plan=wanted.plan,
        hyperparameters=wanted.hyperparameters,
        strict=wanted.strict,
        unheld=wanted.unheld,
    )


def _written(outcome: JobOutcome | None) -> int:
    if outcome is None or outcome.version is None or outcome.report is None:
        return 0
    return sum(report.written for report in outcome.report.facts)
