"""The folder of one run: what it was begun with, what every batch came to, and how all facts stood at each checkpoint.

<folder>/
  run.json                what was asked for; a run that goes on must ask for the same
  log/<model>/            the edit log, from which a run that was stopped goes on
  batches.jsonl           a line a batch
  unusable.json           the records that were not edited, each with its reason
  unasked.json            the questions beyond the facts that were not asked, the same
  unedited.json           the model before all edits, and with each fact told in the prompt
  checkpoints/000100.json the same after so many facts
  abilities/              of the unedited model and at each checkpoint, if tasks were asked (``ability_looks``)
  report.json, report.md, *.svg
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from app.domain.contract import Drift, Hyperparameters, Unheld, UnusableRecord
from app.domain.errors import RequestError
from app.domain.storage import durable_files
from workers.experiments.answers import CaseAnswers, Kept
from workers.experiments.free_text import FreeText
from workers.experiments.probes import Probed
from workers.experiments.questions_asked import RecordAnswers
from workers.experiments.references import Consistency
from workers.experiments.summary import Summary

RUN, BATCHES, UNUSABLE, UNASKED, UNEDITED, CHECKPOINTS = (
    "run.json",
    "batches.jsonl",
    "unusable.json",
    "unasked.json",
    "unedited.json",
    "checkpoints",
)

HOW_IT_IS_EDITED = frozenset({"batch", "every", "method", "plan", "hyperparameters", "strict", "unheld"})

Read = TypeVar("Read", bound=Kept)


class Wanted(Kept):
    """What a run is. digest: of the data set. seed: of the order of its cases; None: as they stand there.

    references: digest of the file of reference texts; None without one.
    """

    model: str
    dataset: str
    digest: str
    facts: int
    batch: int
    every: int
    method: str | None = None
    plan: str | None = None
    hyperparameters: Hyperparameters = Hyperparameters()
    strict: bool = False
    unheld: Unheld = "drop"
    dtype: str = "float32"
    seed: int | None = None
    spoken: int = 30
    questions: int = 100
    references: str | None = None

    @property
    def asked(self) -> tuple[object, ...]:
        """What the unedited model is asked by, but for ``ike``: not how it is edited, nor how often it is looked at."""
        return tuple(value for name, value in self if name not in HOW_IT_IS_EDITED)


class BatchLine(Kept):
    """What one batch came to. seconds: None where the run was stopped before they were noted."""

    batch: int
    status: str
    version: int | None
    facts: int
    written: int
    seconds: float | None
    error: str | None = None


def seconds_a_fact(lines: Sequence[BatchLine]) -> float | None:
    """Of the batches whose time is known; None if it is of none."""
    timed = [(line.seconds, line.facts) for line in lines if line.seconds is not None]
    return sum(seconds for seconds, _ in timed) / sum(facts for _, facts in timed) if timed else None


class Unedited(Kept):
    """The unedited model, asked plainly, and with each fact told before the question."""

    plain: tuple[CaseAnswers, ...]
    told: tuple[CaseAnswers, ...]
    free: FreeText | None
    rippled: tuple[RecordAnswers, ...] = ()
    probes: tuple[Probed | None, ...] = ()
    consistency: Consistency | None = None


class Checkpoint(Kept):
    """After so many facts were handed in, of which some were written: all that stand, and the oldest batch of them.

    superseded: indices of the facts that were edited again since; neither summary counts them.

    drift: on text that nothing was taught of, against the unedited model; None without such texts. norms: by layer,
    ‖ΔW‖ / ‖W‖ (Frobenius). log_bytes: of the whole edit log.
    """

    facts: int
    written: int
    summary: Summary
    first: Summary
    free: FreeText | None
    drift: Drift | None
    norms: dict[int, float]
    log_bytes: int
    peak_memory_mb: float
    answers: tuple[CaseAnswers, ...]
    rippled: tuple[RecordAnswers, ...] = ()
    superseded: tuple[int, ...] = ()
    probes: tuple[Probed | None, ...] = ()
    consistency: Consistency | None = None


def refuse_other(there: Kept, wanted: Kept) -> None:
    """Return if what lies in a folder was begun with what is wanted of it now.

    Raises:
        RequestError: it was not; with the name of the first difference as its field.
    """
    old, new = there.model_dump(), wanted.model_dump()
    other = next((name for name in new if old.get(name) != new[name]), None)
    if other is not None:
        detail = f"another run lies in this folder: its {other} is {old.get(other)}"
        raise RequestError(detail, field=other, value=new[other])


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's files; each is written whole or not at all."""

    path: Path

    def begin(self, wanted: Wanted) -> None:
        """Note what is asked for, or see that the run that is here asked for the same.

        Raises:
            RequestError: another run lies here.
        """
        durable_files.make_dir(self.path / CHECKPOINTS)
        there = self.wanted
        if there is None:
            self._write(RUN, wanted)
        else:
            refuse_other(there, wanted)

    @property
    def wanted(self) -> Wanted | None:
        """What the run here was begun with; None: none was."""
        return self._read(RUN, Wanted)

    @property
    def log(self) -> Path:
        """Where the edit log is."""
        return self.path / "log"

    @property
    def log_bytes(self) -> int:
        """Of all files of the edit log."""
        return sum(file.stat().st_size for file in self.log.rglob("*") if file.is_file())

    def lines(self) -> list[BatchLine]:
        """What the batches so far came to, in order."""
        path = self.path / BATCHES
        if not path.is_file():
            return []
        return [BatchLine.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def note(self, lines: Sequence[BatchLine]) -> None:
        """Keep what all batches so far came to."""
        text = "".join(f"{line.model_dump_json()}\n" for line in lines)
        durable_files.replace_file(self.path / BATCHES, text.encode())

    def note_unusable(self, unusable: Sequence[UnusableRecord], name: str = UNUSABLE) -> None:
        """Keep why records were not edited, or (``UNASKED``) why questions were not asked."""
        rows = [each.model_dump(mode="json") for each in unusable]
        durable_files.replace_file(self.path / name, (json.dumps(rows, indent=2) + "\n").encode())

    @property
    def unedited(self) -> Unedited | None:
        """The model before all edits, if it has been asked."""
        return self._read(UNEDITED, Unedited)

    def note_unedited(self, found: Unedited) -> None:
        """Keep it."""
        self._write(UNEDITED, found)

    def take_unedited(self, others: Iterable[RunFolder]) -> None:
        """What another run has asked of the unedited model, where this one, which has begun, would ask the same."""
        wanted = self.wanted
        assert wanted is not None
        if self.unedited is not None:
            return
        alike = (other for other in others if other.wanted is not None and other.wanted.asked == wanted.asked)
        found = next((unedited for other in alike if (unedited := other.unedited) is not None), None)
        if found is not None:
            self.note_unedited(found)

    def checkpoint(self, facts: int) -> Checkpoint | None:
        """How all facts stood after so many, if that has been asked."""
        return self._read(_name(facts), Checkpoint)

    @property
    def last_checkpoint(self) -> Checkpoint | None:
        """The one of the most facts."""
        counts = [int(path.stem) for path in (self.path / CHECKPOINTS).glob("*.json")]
        return self.checkpoint(max(counts)) if counts else None

    def note_checkpoint(self, found: Checkpoint) -> None:
        """Keep it."""
        self._write(_name(found.facts), found)

    def write_text(self, name: str, text: str) -> None:
        """A report."""
        durable_files.replace_file(self.path / name, text.encode())

    def _read(self, name: str, kind: type[Read]) -> Read | None:
        path = self.path / name
        return kind.model_validate_json(path.read_bytes()) if path.is_file() else None

    def _write(self, name: str, found: Kept) -> None:
        durable_files.replace_file(self.path / name, found.model_dump_json().encode())


def _name(facts: int) -> str:
    return f"{CHECKPOINTS}/{facts:06d}.json"
