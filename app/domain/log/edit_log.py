"""Committing to an edit log. A change has happened if, and only if, its version is committed here.

    <root>/<model>/
      base.json               the model as it was loaded (``Base``)
      versions/00000001/      committed when this folder has its final name
        manifest.json         ``Manifest``: facts, report, the files' digests, and the parent's digest
        *                     the version's files, opaque here
      snapshots/00000064/     ``SnapshotPage`` and its files: a start need not replay what they hold
      compactions/00000064/   ``CompactionPage``: the files of all versions before this one were removed
      proposals/48213377/     ``ProposalPage`` and its files: an edit that waits, and is no version yet
      aliases/production/00000003/   ``MovePage``: which version the alias points to since
      leader.lock, epoch      who may commit
      base.lock               held while the base is written

A directory is laid out so, with a digest beside every page; ``object_storage`` says how an object store differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from app.domain.contract import EditBatch
from app.domain.entries import BASE, Entry, move_entry, proposal_entry, snapshot_entry, version_entry
from app.domain.errors import (
    Conflict,
    DamagedVersion,
    JobFailed,
    ModelMismatch,
    NotFound,
    Unavailable,
    VersionExists,
)
from app.domain.log.compaction import Compaction, relied_on
from app.domain.log.led_log import LedLog
from app.domain.log.pages import MovePage, ProposalPage, SnapshotPage
from app.domain.log.proposals import entry_of, id_of, number_of
from app.domain.log.thinning import Thinning
from app.domain.manifest import Base, Draft, FileRecord, Manifest

SWEPT_AT_MOST = 3
"""How often a move is written again after a new leader took it for what a dead writer left."""


class EditLog(LedLog):
    """The edit log of one model: any number of processes read it and move aliases, one at a time leads and commits."""

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
            self._publish(version_entry(draft.version), manifest, files, draft.epoch)
        except FileExistsError as error:
            raise VersionExists(f"version {draft.version} is there", value=draft.version) from error
        return self.manifest(draft.version)

    def propose(
        self, draft: Draft, files: Mapping[str, bytes], batch: EditBatch, expires: datetime, by: str | None = None
    ) -> ProposalPage:
        """Keep the draft as a proposal, durable when this returns; or leave the log as it was.

        What a job has proposed already is not kept again: that proposal is returned.

        Args:
            draft: as for ``commit``; its version is the head's successor, and it has a job.
            batch: what was asked for, so that it can be computed anew on a later head.
            by: who proposes it.

        Raises:
            StaleEpoch: a newer leader has taken over.
            JobFailed: it could not be written, for instance for want of space, or its number is another job's.
            DamagedVersion: the log that it would rest on is damaged.
            pydantic.ValidationError: a file's name is not fit for one.
        """
        job = draft.job or ""
        if (known := self.proposals.of_job(job)) is not None:
            return known
        self.check_lead(draft.epoch)
        entry = proposal_entry(number_of(job))
        page = ProposalPage(
            id=id_of(entry.number),
            by=by,
            batch=batch,
            draft=draft,
            parent=self._chain.digest(draft.version - 1),
            created=datetime.now(UTC),
            expires=expires,
            files={name: FileRecord.of(data) for name, data in files.items()},
        )
        try:
            self._publish(entry, page, files, draft.epoch)
        except FileExistsError as error:
            raise JobFailed(f"{page.id} is another job's; send the edit again", value=page.id) from error
        return self.proposals.page(entry.number)

    def drop(self, proposal: str, epoch: int) -> None:
        """Remove a proposal, if it is there; it is gone for good when this returns.

        Raises:
            StaleEpoch: a newer leader than that of ``epoch`` has taken over.
            JobFailed: it could not be removed.
        """
        self.check_lead(epoch)
        try:
            self._storage.discard(entry_of(proposal))
        except OSError as error:
            self.check_lead(epoch)  # raises StaleEpoch if the next leader was quicker
            reason = error.strerror or type(error).__name__
            raise JobFailed(f"{proposal} could not be removed: {reason}", value=proposal) from error

    def move_alias(self, move: MovePage) -> MovePage:
        """Make this the alias's move of its number, durable when this returns; needs no lead.

        Returns:
            The move of that number that stands: this one, or another's that was made before.

        Raises:
            Conflict: it does not follow on the alias's newest move.
            Unavailable: it could not be written, for instance for want of space; the alias is as it was.
            DamagedVersion: the move that stands is damaged.
        """
        entry = move_entry(move.alias, move.number)
        if move.number > max(self.aliases.numbers(move.alias), default=0) + 1:
            raise Conflict(f"move {move.number} of {move.alias} does not follow on its newest", value=move.number)
        for _ in range(SWEPT_AT_MOST):
            with suppress(FileExistsError, FileNotFoundError):  # there before; swept by a new leader
                self._publish_move(entry, move)
            if (found := self.aliases.move(move.alias, move.number)) is not None:
                return found
        raise Unavailable(f"{self._storage.shown(entry.folder)} could not be written")

    def write_snapshot(self, version: int, files: Mapping[str, bytes]) -> None:
        """Keep what a worker holds at a version. A snapshot that is there and whole stays as it is.

        Args:
            files: contents by name, opaque here.

        Raises:
            UnknownVersion: there is no such version.
            JobFailed: it could not be written, for instance for want of space; the log is as it was.
            pydantic.ValidationError: a file's name is not fit for one.
        """
        self.outline(version)
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
            self._publish(entry, page, files)

    def thin_snapshots(self, epoch: int) -> list[int]:
        """Remove the snapshots that ``thinning`` says may go; what can be put together now can be afterwards.

        Returns:
            Their versions.

        Raises:
            StaleEpoch: a newer leader than that of ``epoch`` has taken over.
            OSError: one could not be removed.
            DamagedVersion: a manifest, an alias or a proposal is damaged.
        """

        def permitted() -> None:
            self.check_lead(epoch)

        needed = relied_on(self.aliases, self.proposals, self._chain)
        return Thinning(self._storage, self._replays, self.history(), needed, permitted).run()

    def compact(self, before: int | None = None) -> None:
        """Remove what is not needed: snapshots that a newer one replaces, and what killed writers left.

        Args:
            before: also remove the tensor files of all versions before this one, which needs a snapshot; those can no
                longer be gone back to, nor their facts be reverted. Their manifests stay.

        Raises:
            LogLocked: a leader holds the log.
            UnknownVersion: there is no version ``before``.
            Conflict: a version from ``before`` on, one that an alias points to, or one that a waiting proposal rests
                on would lose tensors that it needs.
            DamagedVersion: the base, a manifest, the epoch, an alias or a proposal is damaged.
        """
        with self.lead():
            needed = relied_on(self.aliases, self.proposals, self._chain)
            Compaction(self._storage, self._chain, self._replays, needed, before).run()

    def _publish_move(self, entry: Entry, move: MovePage) -> None:
        """Publish a move that none follows on.

        Raises:
            FileExistsError: it, or one that follows, is there. FileNotFoundError: it was swept away.
            Unavailable: it could not be written.
        """

        def permitted() -> None:
            if max(self.aliases.numbers(move.alias), default=0) > move.number:
                raise FileExistsError

        try:
            self._storage.publish(entry, move.model_dump_json(indent=2).encode(), {}, permitted)
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise Unavailable(f"{self._storage.shown(entry.folder)} could not be written: {reason}") from error

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
