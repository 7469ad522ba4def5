"""Committing to an edit log. A change has happened if, and only if, its version is committed here.

    <root>/<model>/
      base.json               the model as it was loaded (``Base``)
      versions/00000001/      committed when this folder has its final name
        manifest.json         ``Manifest``: facts, report, the files' digests, and the parent's digest
        *                     the version's files, opaque here
      snapshots/00000064/     ``SnapshotPage`` and its files: a start need not replay what they hold
      compactions/00000064/   ``CompactionPage``: the files of all versions before this one were removed
      leader.lock, epoch      who may commit
      base.lock               held while the base is written

A directory is laid out so, with a digest beside every page; ``object_storage`` says how an object store differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from pydantic import ValidationError

from app.domain.entries import BASE, Entry, snapshot_entry, version_entry
from app.domain.errors import (
    Conflict,
    DamagedVersion,
    JobFailed,
    ModelMismatch,
    NotFound,
    StaleEpoch,
    VersionExists,
)
from app.domain.log.compaction import Compaction
from app.domain.log.pages import SnapshotPage
from app.domain.log.reader import LogReader
from app.domain.manifest import Base, Draft, FileRecord, Manifest


class EditLog(LogReader):
    """The edit log of one model: any number of processes read it, one at a time leads and commits."""

    def create(self, base: Base) -> Base:
        """Start the log, or find it started for the same weights; returns the base that is in force.

        Raises:
            ModelMismatch: it was started for another model, other weights, modules or contexts.
            DamagedVersion: it was started, and its base cannot be read.
        """
        if not self.exists():
            self._storage.begin(BASE, base.model_dump_json(indent=2).encode())
        found = self.base()
        for field in ("model", "modules", "weights_sha256", "contexts", "strict_contexts"):
            if getattr(found, field) != getattr(base, field):
                detail = f"the edit log of {self.model} was written for other {field}"
                raise ModelMismatch(detail, field=field, value=getattr(base, field))
        return found

    @property
    def lockable(self) -> bool:
        """Whether ``lead`` alone keeps other leaders out; if not, they need a lease to agree by."""
        return self._storage.lockable

    @contextmanager
    def lead(self, minimum: int = 1, *, leased: bool = False, take_over: bool = False) -> Iterator[int]:
        """Be the one that commits, until the context or the process ends, or another takes over.

        Clears away what earlier leaders left unfinished. Once the block has begun, no earlier leader can commit; only
        in an object store one that had already checked its epoch still may, once.

        Args:
            minimum: the least epoch to take, for instance from a counter in Redis.
            leased: the caller has the lease by which the leaders of this log agree.
            take_over: take the lead from a leased leader, whose lease has ended, also if its process still lives.

        Yields:
            This leader's epoch: newer than that of any leader before, and durable.

        Raises:
            LogLocked: another leader holds the log; says which, as far as that is known.
            DamagedVersion: the last epoch cannot be told.
            UnsupportedStorage: the storage cannot keep two writers apart.
        """
        with self._storage.leading(leased=leased, take_over=take_over):
            epoch = self._storage.take_epoch(max(minimum, self._last_epoch() + 1))
            self._storage.sweep()
            yield epoch

    def commit(self, draft: Draft, files: Mapping[str, bytes]) -> Manifest:
        """Make the draft the next version, durable when this returns; or leave the log as it was.

        A draft of a job that has committed already is not committed again: that job's version is returned.

        Args:
            draft: its version is the head's successor, its epoch the one that ``lead`` gave.
            files: contents by name; ``manifest.FileName`` says what a name may be.

        Raises:
            StaleEpoch: a newer leader has taken over.
            VersionExists: somebody else committed this version.
            Conflict: the version does not follow on the head.
            CompactedVersion: a rollback or revert to what would need tensors that were removed.
            UnknownFact, InseparableFacts: a revert of facts that cannot be taken out.
            JobFailed: it could not be written, for instance for want of space.
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
            parent=self._chain.digest(draft.version - 1),
            files={name: FileRecord.of(data) for name, data in files.items()},
        )
        try:
            self._publish(version_entry(draft.version), _document(manifest), files, draft)
        except FileExistsError as error:
            raise VersionExists(f"version {draft.version} is there", value=draft.version) from error
        return self.manifest(draft.version)

    def check_lead(self, epoch: int) -> None:
        """Return if no newer leader than that of this epoch has taken over.

        Raises:
            StaleEpoch: one has. DamagedVersion: that cannot be told.
        """
        if epoch < (newest := self._last_epoch()):
            detail = f"a leader of epoch {newest} has taken over {self.model}"
            raise StaleEpoch(detail, field="epoch", value=epoch)

    def write_snapshot(self, version: int, files: Mapping[str, bytes]) -> None:
        """Keep what a worker holds at a version. A snapshot that is there and whole stays as it is.

        Args:
            files: contents by name, opaque here.

        Raises:
            UnknownVersion: there is no such version.
            JobFailed: it could not be written, for instance for want of space; the log is as it was.
            pydantic.ValidationError: a file's name is not fit for one.
        """
        self.manifest(version)
        entry = snapshot_entry(version)
        page = SnapshotPage(
            version=version,
            manifest=self._chain.digest(version),
            created=datetime.now(UTC),
            files={name: FileRecord.of(data) for name, data in files.items()},
        )
        try:
            self.read_snapshot(version)
        except DamagedVersion:
            self._storage.discard(entry)
        except NotFound:
            pass
        else:
            return
        with suppress(FileExistsError):  # another writer's, of the same version
            self._publish(entry, page.model_dump_json(indent=2).encode(), files)

    def compact(self, before: int | None = None) -> None:
        """Remove what is not needed: snapshots that a newer one replaces, and what killed writers left.

        Args:
            before: also remove the tensor files of all versions before this one, which needs a snapshot; those can no
                longer be gone back to, nor their facts be reverted. Their manifests stay.

        Raises:
            LogLocked: a leader holds the log.
            UnknownVersion: there is no version ``before``.
            Conflict: a version from ``before`` on would lose tensors that it needs.
            DamagedVersion: the base, a manifest or the epoch is damaged.
        """
        with self.lead():
            Compaction(self._storage, self._chain, self._replays, before).run()

    def _publish(self, entry: Entry, page: bytes, files: Mapping[str, bytes], draft: Draft | None = None) -> None:
        """Make an entry; a version's only if the draft's epoch is still the newest just before the last step.

        Raises:
            FileExistsError: it is there.
            JobFailed: it could not be written.
        """

        def permitted() -> None:
            if draft is not None:
                self.check_lead(draft.epoch)

        try:
            self._storage.publish(entry, page, files, permitted)
        except FileExistsError:
            raise
        except OSError as error:
            permitted()  # raises StaleEpoch if the next leader swept it away
            shown = self._storage.shown(entry.folder)
            reason = error.strerror or type(error).__name__
            raise JobFailed(f"{shown} could not be written to the edit log: {reason}", value=shown) from error

    def _refuse(self, draft: Draft) -> None:
        """Raise if this draft must not be committed now."""
        self.check_lead(draft.epoch)
        head = self.head()
        if draft.version <= head:
            raise VersionExists(f"version {draft.version} is there", field="version", value=draft.version)
        if draft.version > head + 1:
            detail = f"version {draft.version} does not follow on version {head}"
            raise Conflict(detail, field="version", value=draft.version)
        if draft.to is not None:
            self.check_rollback(draft.to)
        if draft.reverted:
            self.check_revert(draft.reverted)

    def _last_epoch(self) -> int:
        """The newest epoch of any leader, 0 if there was none: the newest manifest's, or a later one in the storage."""
        newest = next(self.newest_first(), None)
        return max(newest.epoch if newest else 0, self._storage.last_epoch())


def _document(manifest: Manifest) -> bytes:
    """The manifest as it stands on disk.

    Raises:
        JobFailed: it would not read back, as a report with a NaN in it would not.
    """
    data = manifest.model_dump_json(indent=2).encode()
    try:
        Manifest.model_validate_json(data)
    except ValidationError as error:
        raise JobFailed(f"the manifest of version {manifest.version} would not read back") from error
    return data
