"""What was accepted and has not ended, on disk: enough to queue it again when Redis has lost it.

<root>/<model>/
  000000000007-<job id>.json     ``AcceptedJob``; the numbers give the order of acceptance
  .000000000008-<job id>.json    being accepted: only its writer looks at it
  ended/<job id>.json            ``Job``: how one ended that the edit log knows nothing of
  order.lock                     held while a number is chosen
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, Field, ValidationError

from app.domain.contract import AnyJobRequest, Job, JobId, Name, Record
from app.domain.storage import durable_files

logger = logging.getLogger(__name__)

LOCK = "order.lock"
ENDED = "ended"
NUMBER = 12
"""Digits of a number."""


class AcceptedJob(Record):
    """A job of any kind that was promised to a caller: it is done once, or its outcome says why not."""

    job: JobId
    model: Name
    change: AnyJobRequest
    accepted: AwareDatetime
    expected_version: Annotated[int, Field(ge=0)] | None = Field(
        None, description="The version that the model must be at when the job's turn comes; None: any."
    )
    by: Name | None = Field(None, description="Name of the API key that it was handed in with; None: there was none.")
    request_id: str | None = Field(None, description="Of the request, for log lines.")
    cancelled: bool = Field(False, description="Whether somebody asked it to stop.")

    @property
    def facts(self) -> int:
        """How many facts it writes or takes out, as far as it names them."""
        return self.change.named_facts


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job stands that is being accepted.

    entry: the name that its file will have.
    before: names of all files that were there before, among them those of the jobs that count as accepted.
    """

    entry: str
    before: Sequence[str]


class AcceptedJournal:
    """The accepted jobs of all models. Several front ends may share it; files are replaced whole or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def accepting(self, accepted: AcceptedJob) -> Iterator[Place]:
        """Write a job down, and count it as accepted, the last of its model, when the block ends without an error.

        Nobody else sees it before. After an error nothing of it stays.

        Raises:
            OSError: it could not be written down.
        """
        folder = self._root / accepted.model
        durable_files.make_dir(folder)
        with durable_files.exclusive(folder / LOCK, wait=True):  # for a number only: files are written side by side
            names = os.listdir(folder)  # noqa: PTH208 - names suffice
            name = f"{_next_number(names):0{NUMBER}d}-{accepted.job}.json"
            unseen = folder / f"{durable_files.HIDDEN}{name}"
            unseen.touch()
        try:
            durable_files.fill(unseen, accepted.model_dump_json().encode())
            yield Place(name, names)
            durable_files.rename(unseen, name)
        except BaseException:  # whatever it is: clean up, and raise it again
            unseen.with_name(name).unlink(missing_ok=True)  # it was renamed, but the name is not known to be on disk
            raise
        finally:
            unseen.unlink(missing_ok=True)  # there still if it failed

    def models(self) -> list[str]:
        """The models that ever had a job accepted, sorted."""
        return sorted(path.name for path in self._root.iterdir() if path.is_dir()) if self._root.is_dir() else []

    def jobs(self, model: str) -> list[str]:
        """Ids of the model's jobs that are not known to have ended, in the order of acceptance."""
        return jobs_of(self.names(model))

    def names(self, model: str) -> list[str]:
        """The names of all files of the model, in any order."""
        folder = self._root / model
        return os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208 - names suffice

    def read(self, model: str, job: str) -> AcceptedJob | None:
        """What was accepted as this job, unless it is known to have ended."""
        return next(self.read_all(model, [job]), None)

    def read_all(self, model: str, jobs: Iterable[str]) -> Iterator[AcceptedJob]:
        """What was accepted as these jobs, less those known to have ended; the model's folder is listed once."""
        folder, names = self._root / model, _by_job(self.names(model))
        for job in jobs:
            written = (_read(folder / name) for name in names.get(job, ()))
            yield from islice(filter(None, written), 1)

    def find(self, job: str) -> AcceptedJob | None:
        """What was accepted as this job, whatever its model; None if none was, or it is known to have ended."""
        return next((accepted for model in self.models() if (accepted := self.read(model, job))), None)

    def cancel(self, model: str, job: str) -> None:
        """Note that the job was asked to stop, if it has not ended."""
        for path in self._paths(model, job):
            if accepted := _read(path):
                cancelled = accepted.model_copy(update={"cancelled": True})
                durable_files.replace_file(path, cancelled.model_dump_json().encode())

    def end(self, job: Job) -> None:
        """Note how an accepted job ended; nothing is noted of one that committed a version, which the edit log has.

        Raises:
            OSError: it could not be written down, and still counts as accepted.
        """
        paths = self._paths(job.model, job.id)
        if paths and job.version is None:
            folder = self._root / job.model / ENDED
            durable_files.make_dir(folder)
            durable_files.replace_file(folder / f"{job.id}.json", job.model_dump_json().encode())
        for path in paths:
            path.unlink(missing_ok=True)

    def ended(self, job: str) -> Job | None:
        """How a job ended without a version, if that was noted."""
        for model in self.models():
            with suppress(FileNotFoundError):
                return Job.model_validate_json((self._root / model / ENDED / f"{job}.json").read_bytes())
        return None

    def any_of(self, begins: str, since: float) -> bool:
        """Whether a job whose id begins so has not ended, or ended without a version after ``since`` (Unix seconds)."""
        if any(job.startswith(begins) for model in self.models() for job in self.jobs(model)):
            return True
        return any(_changed(path) >= since for path in self._root.glob(f"*/{ENDED}/{begins}*.json"))

    def forget(self, before: float) -> None:
        """Remove what ended before this time (Unix seconds), and what a killed front end began to accept."""
        for pattern in (f"*/{ENDED}/*", f"*/{durable_files.HIDDEN}*"):
            for path in self._root.glob(pattern):
                with suppress(FileNotFoundError):  # another front end was faster
                    if path.stat().st_mtime < before:
                        path.unlink()

    def _paths(self, model: str, job: str) -> list[Path]:
        return [self._root / model / name for name in _by_job(self.names(model)).get(job, ())]


def jobs_of(names: Iterable[str]) -> list[str]:
    """The jobs that count as accepted by these names of files, in the order of acceptance."""
    return list(_by_job(names))


def _read(path: Path) -> AcceptedJob | None:
    try:
        return AcceptedJob.model_validate_json(path.read_bytes())
    except FileNotFoundError:  # it has just ended
        return None
    except ValidationError:
        logger.error("%s cannot be read, and is left alone", path)  # noqa: TRY400 - it would show the facts
        return None


def _changed(path: Path) -> float:
    """When a file was written (Unix seconds); minus infinity if it has just been removed."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("-inf")


def _by_job(names: Iterable[str]) -> dict[str, list[str]]:
    """The files of each job that counts as accepted, in the order of acceptance."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        if name[:NUMBER].isdecimal():
            found.setdefault(name[NUMBER + 1 :].removesuffix(".json"), []).append(name)
    return found


def _next_number(names: Iterable[str]) -> int:
    """One more than the numbers of all jobs that are accepted or being accepted."""
    numbers = [name.removeprefix(durable_files.HIDDEN)[:NUMBER] for name in names]
    return int(max(filter(str.isdecimal, numbers), default="0")) + 1  # of one length: they compare as texts
