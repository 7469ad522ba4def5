"""What models are wanted beside those that the service was started with, on disk, and what became of adding each.

<data>/served/
  <name>.json          ``Wish``: there as long as the model is wanted
  <name>.progress      ``Progress``: how far its onboarding is; there once that has begun
  ended/<job>.json     ``Job``: how adding one ended
  served.lock          held while a wish is written

The front end writes wishes and takes them back; the process that runs the workers (``app.local.added_models``) does the
rest.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, ValidationError

from app.domain.contract import Job, JobId, JobStatus, Name, Progress, Record
from app.domain.errors import JobCancelled, PalimpsestError
from app.domain.problems import problem_of
from app.domain.storage import durable_files

logger = logging.getLogger(__name__)

FOLDER = "served"
LOCK = "served.lock"
ENDED = "ended"


class Wish(Record):
    """A model that is wanted.

    model: what a worker loads: never a path that a caller sent.
    job: the one by which adding it is followed.
    """

    name: Name
    model: str
    job: JobId
    added: AwareDatetime
    onboard: bool = True


class Wishes:
    """The wishes under one data directory. Files are replaced whole or not at all."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir / FOLDER

    def add(self, wish: Wish) -> bool:
        """Write a wish down; False if a model of that name is wanted already.

        Raises:
            OSError: it could not be written.
        """
        durable_files.make_dir(self._root)
        with durable_files.exclusive(self._root / LOCK, wait=True):
            if self._path(wish.name).exists():
                return False
            durable_files.replace_file(self._path(wish.name), wish.model_dump_json().encode())
        return True

    def withdraw(self, name: str) -> bool:
        """Have a model wanted no longer, and the job that still adds it told as cancelled; False if it was not wanted.

        Raises:
            OSError: it could not be written.
        """
        wish = _read(self._path(name))
        if wish is not None:
            self.cancel(wish)
        return self.remove(name)

    def remove(self, name: str) -> bool:
        """Have a model wanted no longer; False if it was not."""
        try:
            self._path(name).unlink()
        except FileNotFoundError:
            return False
        durable_files.sync_dir(self._root)
        return True

    def all(self) -> list[Wish]:
        """All of them, by name. One that cannot be read is left alone."""
        found = (_read(path) for path in sorted(self._root.glob("*.json")) if not path.name.startswith("."))
        return [wish for wish in found if wish is not None]

    # --- how it stands -----------------------------------------------------------------------

    def view(self, job_id: str) -> Job | None:
        """The job that adds a model, if it is one."""
        if (ended := self.ended(job_id)) is not None:
            return ended
        wish = next((wish for wish in self.all() if wish.job == job_id), None)
        return None if wish is None else self.job(wish)

    def job(self, wish: Wish) -> Job:
        """The job of a wish that has not come true yet."""
        progress = self._progress(wish.name)
        status = JobStatus.QUEUED if progress is None else JobStatus.RUNNING
        return Job(
            id=wish.job,
            kind="onboard",
            model=wish.name,
            status=status,
            facts=0,
            submitted=wish.added,
            progress=progress,
        )

    def ended(self, job_id: str) -> Job | None:
        """How adding a model ended, if it has."""
        with suppress(FileNotFoundError):
            return Job.model_validate_json((self._root / ENDED / f"{job_id}.json").read_bytes())
        return None

    def end(self, wish: Wish, status: JobStatus, error: PalimpsestError | None = None) -> None:
        """Note how adding a model ended.

        Raises:
            OSError: it could not be written.
        """
        problem = None if error is None else problem_of(error)
        told = {"status": status, "ended": datetime.now(UTC), "progress": None, "error": problem}
        job = self.job(wish).model_copy(update=told)
        durable_files.make_dir(self._root / ENDED)
        durable_files.replace_file(self._root / ENDED / f"{job.id}.json", job.model_dump_json().encode())
        self.progress_file(wish.name).unlink(missing_ok=True)
        logger.info("adding it has ended: %s", status, extra={"job_id": wish.job, "model": wish.name})

    def cancel(self, wish: Wish) -> None:
        """Note that a model was taken away before it was added, if it was.

        Raises:
            OSError: it could not be written.
        """
        if self.ended(wish.job) is None:
            self.end(wish, JobStatus.CANCELLED, JobCancelled(f"{wish.name} was taken away meanwhile."))

    def tell(self, name: str, progress: Progress) -> None:
        """Note how far adding a model is."""
        durable_files.replace_file(self.progress_file(name), progress.model_dump_json().encode())

    def progress_file(self, name: str) -> Path:
        """Where an onboarding tells how far it is."""
        return self._root / f"{name}.progress"

    def forget(self, before: float) -> None:
        """Remove what is known of additions that ended before this time (Unix seconds), unless the model is wanted."""
        wanted = {wish.job for wish in self.all()}
        for path in self._root.glob(f"{ENDED}/*.json"):
            with suppress(FileNotFoundError):
                if path.stem not in wanted and path.stat().st_mtime < before:
                    path.unlink()

    def _progress(self, name: str) -> Progress | None:
        try:
            return Progress.model_validate_json(self.progress_file(name).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _path(self, name: str) -> Path:
        return self._root / f"{name}.json"


def _read(path: Path) -> Wish | None:
    try:
        return Wish.model_validate_json(path.read_bytes())
    except FileNotFoundError:  # it has just been removed
        return None
    except ValidationError:
        logger.error("%s cannot be read, and is left alone", path)  # noqa: TRY400 - the sentence says all
        return None
