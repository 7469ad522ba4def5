"""Reading an edit log: every manifest is verified, and the chain of digests with it, before it is used.

What cannot be read is looked up again, and is damaged only if it is still listed. A version or snapshot that was
withdrawn meanwhile is not there; a question about the head is answered for the head that is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import TypeAdapter, ValidationError

from app.domain.contract import FactInForce, FactKey, Name
from app.domain.entries import BASE, version_entry
from app.domain.errors import CompactedVersion, DamagedVersion, NotFound, UnknownModel, UnknownVersion
from app.domain.history.history import History
from app.domain.history.lineage import HeldFact
from app.domain.history.logged_version import LoggedVersion
from app.domain.log.aliases import Aliases
from app.domain.log.chain import Chain
from app.domain.log.proposals import Proposals
from app.domain.log.recent_versions import RecentVersions
from app.domain.log.replays import Replay, Replays, Snapshot
from app.domain.log.root import LogRoot, open_storage, stored_models
from app.domain.manifest import Base, FileRecord, Manifest


class LogReader:
    """What an edit log tells. Takes no lock; safe in several threads; remembers what it has verified.

    Every method that reads a manifest raises DamagedVersion if one does not have the bytes that were committed.

    Raises:
        UnknownModel: ``model`` is not a name that a model can have; it is never taken for a path.
        UnsupportedStorage: ``root`` is a URL that cannot be opened here.
    """

    def __init__(self, root: LogRoot, model: str) -> None:
        if not _is_name(model):
            raise UnknownModel("a model's name has letters, digits, '.', '_' and '-' only", value=model)
        self.model = model
        self._storage = open_storage(root, model)
        self._chain = Chain(self._storage)
        self._recent = RecentVersions(self._chain)
        self._replays = Replays(self._storage, self._chain)
        self.proposals = Proposals(self._storage, self._chain)
        self.aliases = Aliases(self._storage, self._chain)

    @staticmethod
    def models(root: LogRoot) -> list[str]:
        """Names of the models that have a log under ``root``, sorted."""
        return sorted(filter(_is_name, stored_models(root)))

    # --- versions ----------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether this model has a log."""
        return self._storage.stamp(BASE) is not None

    def base(self) -> Base:
        """Version 0.

        Raises:
            UnknownModel: there is no log.
            DamagedVersion: ``base.json`` does not have the bytes that were written.
        """
        return self._chain.base()

    def head(self) -> int:
        """The newest version; 0 is the base model."""
        return self._chain.head()

    def tip(self) -> tuple[int, str]:
        """The newest version, and its digest."""
        return self._chain.told(None, lambda head: (head, self._chain.digest(head)))

    def manifest(self, version: int) -> Manifest:
        """One committed version; the base, 0, has no manifest.

        Raises:
            UnknownVersion: there is none of that number.
        """
        return self._chain.verified(self._committed(version))

    def outline(self, version: int) -> Manifest:
        """The same as an outline (``Manifest.outline``), which is remembered once it was read.

        Raises:
            UnknownVersion: there is none of that number.
        """
        return self._chain.outline(self._committed(version))

    def manifests(self, last: int | None = None) -> list[Manifest]:
        """The committed versions up to ``last`` (the head if None), oldest first, without reports of single facts.

        Raises:
            UnknownVersion: there is no version ``last``.
        """
        return self._chain.told(last, self._chain.manifests)

    def latest(self, most: int, before: int | None = None) -> tuple[int, list[Manifest]]:
        """The head, and the newest versions (of those before one, if it is given): ``most`` of them, oldest first.

        Nothing of earlier versions is read but the digest of the first one's parent.
        """

        def read(head: int) -> tuple[int, list[Manifest]]:
            last = head if before is None else min(head, before - 1)
            return head, self._chain.manifests(last, max(1, last - most + 1))

        return self._chain.told(None, read)

    def newest_first(self) -> Iterator[Manifest]:
        """The committed versions from the head on down, each read when it is asked for, as outlines."""
        return self._chain.newest_first()

    def at(self, version: int | None = None) -> LoggedVersion:
        """A version (the head if None) with all that it consists of; remembered, so that it is worked out once.

        Raises:
            UnknownVersion: there is no such version.
        """
        return self._chain.told(version, self._recent.at)

    def history(self, last: int | None = None) -> History:
        """What the versions up to ``last`` (the head if None) consist of.

        Raises:
            UnknownVersion: there is no version ``last``.
        """
        return self.at(last).history

    def digest(self, version: int) -> str:
        """SHA-256 of a version's manifest, or of ``base.json`` for 0; it depends on all versions before.

        Raises:
            UnknownVersion: there is no such version.
        """
        return self._chain.digest(self._chain.at_most(version))

    def find_job(self, job_id: str) -> Manifest | None:
        """The version that this job committed, if it did."""
        return self._chain.find_job(job_id)

    def knows_job(self, job_id: str) -> bool:
        """Whether this job has committed a version, or made a proposal that lies there still, be it damaged."""
        if self.find_job(job_id) is not None:
            return True
        try:
            return self.proposals.of_job(job_id) is not None
        except DamagedVersion:
            return True

    def facts_in_force(self, version: int | None = None) -> tuple[FactInForce, ...]:
        """The facts that hold at ``version`` (the head if None), in the order in which they were written.

        Raises:
            UnknownVersion: there is no such version.
        """
        return self.at(version).facts_in_force()

    def check_rollback(self, to: int) -> None:
        """Return if the log can go back to a version.

        Raises:
            UnknownVersion: there is no such version.
            CompactedVersion: it would need tensors that were removed.
        """
        self._replays.check(self.at(to))

    def check_revert(self, facts: Sequence[FactKey]) -> None:
        """Return if these facts can be taken out of the head.

        Raises:
            UnknownFact: the head does not consist of such a fact; the field says which.
            InseparableFacts: they share a key with facts that would stay; the value names those.
            CompactedVersion: what is left would need tensors that were removed.
        """
        self._replays.check(self.at().without(facts))

    # --- tensors -----------------------------------------------------------------------------

    def read(self, version: int, name: str) -> bytes:
        """A version's file, checked byte by byte.

        Raises:
            UnknownVersion: there is no such version.
            NotFound: the version has no file of that name.
            CompactedVersion: the log was compacted, and the file with it.
            DamagedVersion: the file, which is named, does not have the bytes that were committed.
        """
        record = self._record(version, name)
        try:
            return self._storage.read_file(version_entry(version), name, record)
        except DamagedVersion:
            if self._record(version, name) == record:  # else it was withdrawn or compacted in the meantime
                raise
        return self.read(version, name)

    def compacted_before(self) -> int:
        """The first version whose tensor files were not removed; 1 if the log was never compacted."""
        return self._replays.compacted_before()

    # --- snapshots ---------------------------------------------------------------------------

    def snapshots(self) -> list[int]:
        """The versions that have a snapshot, rising; damaged ones count."""
        return self._replays.snapshots()

    def read_snapshot(self, version: int) -> Snapshot:
        """A snapshot, checked byte by byte.

        Raises:
            NotFound: there is no snapshot of this version.
            DamagedVersion: it is damaged, or belongs to another history than this log's.
        """
        return self._replays.read(version)

    def replay(self, version: int | None = None) -> Replay:
        """The shortest way to ``version`` (the head if None). A damaged snapshot is passed over, with a warning.

        Raises:
            UnknownVersion: there is no such version.
            CompactedVersion: it needs tensors that were removed.
            DamagedVersion: a manifest is damaged, or the snapshot that holds removed tensors is.
        """
        return self._replays.shortest(self.at(version))

    def steps_to(self, version: int) -> int:
        """How many terms a replay to a version would have to read, by the snapshots that are listed.

        Raises:
            UnknownVersion: there is no such version.
        """
        return self._replays.steps(self.at(version))

    def replay_without(self, facts: Sequence[FactKey]) -> Replay:
        """The shortest way to what the head would be after a revert of these facts.

        Raises:
            UnknownFact, InseparableFacts, CompactedVersion: as ``check_revert`` does.
            DamagedVersion: as ``replay`` does.
        """
        return self._replays.shortest(self.at().without(facts))

    def facts_without(self, facts: Sequence[FactKey]) -> tuple[HeldFact, ...]:
        """The facts that would be in force after a revert of these."""
        head = self.at()
        return head.history.facts_without(head.version, facts)

    def _committed(self, version: int) -> int:
        """The version itself. Raises UnknownVersion if there is none of that number, or it is the base."""
        if version == 0:
            raise UnknownVersion(f"version 0 of {self.model} is its base", value=version)
        return self._chain.at_most(version)

    def _record(self, version: int, name: str) -> FileRecord:
        """The record of a version's file. Raises NotFound or CompactedVersion if the file is not there."""
        record = self.outline(version).files.get(name)
        if record is None:
            raise NotFound(f"version {version} of {self.model} has no such file", value=name)
        if version < self.compacted_before():
            raise CompactedVersion(f"the log was compacted: the files of version {version} are gone", value=version)
        return record


def _is_name(text: str) -> bool:
    try:
        TypeAdapter(Name).validate_python(text)
    except ValidationError:
        return False
    return True
