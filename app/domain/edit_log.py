"""Versions as files: what is committed here happened, what is not did not.

    <root>/<model>/
      base.json             the model as it was loaded (``Base``)
      versions/00000001/    committed when this directory has its final name
        manifest.json       ``Manifest``: facts, report, the files' digests, and the parent's digest
        *                   the version's files, opaque here
      leader.lock, epoch    who may commit

Beside ``base.json`` and every ``manifest.json`` stands its digest, as ``sha256sum`` writes it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from app.domain import durable_files
from app.domain.errors import (
    Conflict,
    DamagedVersion,
    EditFailed,
    LogLocked,
    ModelMismatch,
    StaleEpoch,
    VersionExists,
)
from app.domain.log_reader import BASE, VERSIONS, LogReader
from app.domain.manifest import MANIFEST, Base, Draft, FileRecord, LoggedFact, Manifest

__all__ = ["Base", "Draft", "EditLog", "FileRecord", "LogReader", "LoggedFact", "Manifest"]


class EditLog(LogReader):
    """The edit log of one model: any number of processes read it, one at a time leads and commits."""

    def create(self, base: Base) -> Base:
        """Start the log, or find it started for the same weights; returns the base that is in force.

        Raises:
            ModelMismatch: it was started for another model, other weights, modules or contexts.
            DamagedVersion: it was started, and its base cannot be read.
        """
        durable_files.make_dir(self._dir / VERSIONS)
        with self._base_lock():
            if not self.exists():
                files = durable_files.with_digest(BASE, base.model_dump_json(indent=2).encode())
                for name, data in files.items():  # base.json last: with it, the log exists
                    durable_files.replace_file(self._dir / name, data)
        found = self.base()
        for field in ("model", "modules", "weights_sha256", "contexts"):
            if getattr(found, field) != getattr(base, field):
                detail = f"the edit log in {self._dir} was written for other {field}"
                raise ModelMismatch(detail, field=field, value=getattr(base, field))
        return found

    @contextmanager
    def lead(self, minimum: int = 1) -> Iterator[int]:
        """Be the one that commits, until the context or the process ends.

        Clears away what a killed leader left unfinished.

        Args:
            minimum: the least epoch to take, for instance from a counter in Redis.

        Yields:
            This leader's epoch: newer than that of any leader before, and on disk.

        Raises:
            LogLocked: another leader holds the log; says which, as far as that is known.
            DamagedVersion: the last epoch cannot be told.
        """
        durable_files.make_dir(self._dir / VERSIONS)
        with ExitStack() as stack:
            path = self._dir / "leader.lock"
            try:
                lock = stack.enter_context(durable_files.exclusive(path, wait=False))
            except BlockingIOError as error:
                holder = path.read_text(encoding="utf-8").strip() or "a leader that has just begun"
                raise LogLocked(f"the edit log of {self.model} is held by {holder}", value=holder) from error
            lock.truncate(0)
            epoch = max(minimum, self._last_epoch() + 1)
            durable_files.replace_file(self._epoch_file, f"{epoch}\n".encode())
            lock.write(f"pid {os.getpid()} on {socket.gethostname()}, epoch {epoch}\n")
            lock.flush()
            self._sweep()
            yield epoch

    def commit(self, draft: Draft, files: Mapping[str, bytes]) -> Manifest:
        """Make the draft the next version, on disk when this returns; or leave the log as it was.

        A draft of a job that has committed already is not committed again: that job's version is returned.

        Args:
            draft: its version is the head's successor, its epoch the one that ``lead`` gave.
            files: contents by name; ``contract.Name`` says what a name may be.

        Raises:
            StaleEpoch: a newer leader has taken over.
            VersionExists: somebody else committed this version.
            Conflict: the version does not follow on the head.
            EditFailed: it could not be written, for instance for want of space.
            DamagedVersion: the log that it would rest on is damaged.
            pydantic.ValidationError: a file's name is not fit for one.
        """
        committed = None if draft.job is None else self.find_job(draft.job)
        if committed is not None:
            return committed
        self._refuse(draft)
        manifest = Manifest.of(
            draft,
            created=datetime.now(UTC),
            parent=self._digest(draft.version - 1),
            files={name: FileRecord.of(data) for name, data in files.items()},
        )
        page = durable_files.with_digest(MANIFEST, _document(manifest))
        try:
            durable_files.publish_dir(self._version_dir(draft.version), {**files, **page})
        except FileExistsError as error:
            raise VersionExists(f"version {draft.version} is there", value=draft.version) from error
        except OSError as error:
            detail = f"version {draft.version} could not be written to the edit log: {error.strerror}"
            raise EditFailed(detail, value=error.filename) from error
        return self.manifest(draft.version)

    def _refuse(self, draft: Draft) -> None:
        """Raise if this draft must not be committed now."""
        if draft.epoch < (newest := self._last_epoch()):
            detail = f"a leader of epoch {newest} has taken over {self.model}"
            raise StaleEpoch(detail, field="epoch", value=draft.epoch)
        head = self.head()
        if draft.version <= head:
            raise VersionExists(f"version {draft.version} is there", field="version", value=draft.version)
        if draft.version > head + 1:
            detail = f"version {draft.version} does not follow on version {head}"
            raise Conflict(detail, field="version", value=draft.version)

    @property
    def _epoch_file(self) -> Path:
        return self._dir / "epoch"

    def _last_epoch(self) -> int:
        """The newest epoch of any leader, 0 if there was none. The newest manifest vouches for it too."""
        head = self.head()
        in_manifest = 0 if head == 0 else self.manifest(head).epoch
        try:
            return max(in_manifest, int(self._epoch_file.read_text(encoding="ascii")))
        except FileNotFoundError:
            return in_manifest
        except ValueError as error:
            path = str(self._epoch_file)
            raise DamagedVersion(f"{path} does not hold a number", value=path) from error

    @contextmanager
    def _base_lock(self) -> Iterator[None]:
        """Be the only one that writes beside ``base.json``."""
        with durable_files.exclusive(self._dir / "base.lock", wait=True):
            yield

    def _sweep(self) -> None:
        durable_files.sweep(self._dir / VERSIONS)
        with self._base_lock():
            durable_files.sweep(self._dir)


def _document(manifest: Manifest) -> bytes:
    """The manifest as it stands on disk.

    Raises:
        EditFailed: it would not read back, as a report with a NaN in it would not.
    """
    data = manifest.model_dump_json(indent=2).encode()
    try:
        Manifest.model_validate_json(data)
    except ValidationError as error:
        raise EditFailed(f"the manifest of version {manifest.version} would not read back") from error
    return data
