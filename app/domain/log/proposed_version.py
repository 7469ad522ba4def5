"""A proposal as it would be if it had been committed on the version that it was computed on."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.errors import Conflict
from app.domain.history.history import History
from app.domain.log.pages import ProposalPage
from app.domain.log.reader import LogReader
from app.domain.log.replays import Replay
from app.domain.manifest import Manifest


@dataclass(frozen=True, slots=True)
class ProposedVersion:
    """What it is made of, and its tensors; read as those of committed versions are."""

    log: LogReader
    page: ProposalPage

    @property
    def on_head(self) -> bool:
        """Whether it was computed on the newest version."""
        return self.log.tip() == (self.page.draft.version - 1, self.page.parent)

    def replay(self) -> Replay:
        """The shortest way to it: that to the version before, and its own term.

        Raises:
            CompactedVersion: the version that it was computed on needs tensors that were removed.
            Conflict: that version was withdrawn.
            DamagedVersion: as ``LogReader.replay`` does.
        """
        page = self.page
        version = page.draft.version
        if self.log.head() < version - 1 or self.log.digest(version - 1) != page.parent:
            raise Conflict(f"{page.id} was computed on a version that was withdrawn", value=page.id)
        own = Manifest.of(page.draft, created=page.created, parent=page.parent, files=page.files)
        history = History([*self.log.manifests(version - 1), own])
        before = self.log.replay(version - 1)
        return Replay(before.snapshot, before.covered, (*before.rest, history.terms(version)[-1]))

    def read(self, version: int, name: str) -> bytes:
        """A file of its own, or of a version that it rests on.

        Raises:
            As ``LogReader.read``. UnknownProposal: it was published or dropped meanwhile.
        """
        if version == self.page.draft.version:
            return self.log.proposals.file(self.page, name)
        return self.log.read(version, name)
