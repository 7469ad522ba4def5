"""Where the bytes of an edit log lie: a directory, or an object store by its URL. The protocol is the same in both.

A *page* is short JSON that tells by itself whether it is whole; an entry's page names the entry's files and their
digests. An entry appears at once, with all its files, and only if none of that name is there: that is the commit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

from app.domain.entries import Entry, Shelf
from app.domain.errors import DamagedVersion
from app.domain.manifest import FileRecord

FoundT = TypeVar("FoundT")

Stamp = Hashable
"""Of a page: changes when the page does."""


class Storage(ABC):
    """One model's log as bytes. Errors name what is damaged relative to the root of all logs."""

    def __init__(self, model: str) -> None:
        self.model = model

    def shown(self, name: str) -> str:
        """How errors call a page or file of this log."""
        return f"{self.model}/{name}"

    # --- reading -----------------------------------------------------------------------------

    @abstractmethod
    def stamp(self, page: str) -> Stamp | None:
        """The page's stamp, None if it is not there."""

    @abstractmethod
    def read_page(self, page: str) -> bytes:
        """A page's bytes.

        Raises:
            DamagedVersion: it is not there, or does not have the bytes that were written.
        """

    @abstractmethod
    def read_file(self, entry: Entry, name: str, record: FileRecord) -> bytes:
        """The bytes of an entry's file.

        Raises:
            DamagedVersion: it is not there, or is not as recorded.
        """

    @abstractmethod
    def numbers(self, shelf: Shelf, alias: str = "") -> list[int]:
        """The numbers of a shelf's entries, or of the moves of one alias, rising."""

    def newest(self, shelf: Shelf, known: int = 0) -> int:
        """The number of a shelf's newest entry, 0 if there is none.

        Args:
            known: what this returned before, for a shelf whose entries follow on each other: a hint where to look.
        """
        return max(self.numbers(shelf), default=0)

    @abstractmethod
    def aliases(self) -> list[str]:
        """The aliases that may have moves, sorted."""

    def settled(self, page: str, read: Callable[[], FoundT]) -> FoundT:
        """What ``read`` returns for a page; it is called again if the page was withdrawn or replaced meanwhile.

        Raises:
            DamagedVersion: ``read`` finds damage, and the page is as it was before; it may be that it is not there.
        """
        while True:
            stamp = self.stamp(page)
            try:
                return read()
            except DamagedVersion:
                if self.stamp(page) == stamp:
                    raise

    def lost(self, name: str, error: Exception) -> DamagedVersion:
        """What to raise when a page or file cannot be read."""
        reason = getattr(error, "strerror", None) or type(error).__name__
        return DamagedVersion(f"{self.shown(name)} cannot be read: {reason}", value=self.shown(name))

    # --- writing -----------------------------------------------------------------------------

    @abstractmethod
    def begin(self, page: str, data: bytes) -> None:
        """Write a page that belongs to no entry, if it is not there yet.

        Raises:
            OSError: it could not be written.
        """

    @abstractmethod
    def publish(
        self, entry: Entry, page: bytes, files: Mapping[str, bytes], permitted: Callable[[], None] = lambda: None
    ) -> None:
        """Make an entry: all of it, durable, or nothing.

        Args:
            permitted: called when all but the last step is done; raises to withdraw.

        Raises:
            FileExistsError: the entry is there already, and was left as it is.
            OSError: it could not be written.
        """

    @abstractmethod
    def strip(self, entry: Entry, keep: Mapping[str, FileRecord]) -> None:
        """Remove an entry's files, but for those to keep and the page."""

    @abstractmethod
    def discard(self, entry: Entry, permitted: Callable[[], None] | None = None) -> None:
        """Remove an entry, page first. It need not be there.

        Args:
            permitted: called just before; raises to leave it. Of an overtaken leader that was stopped between the two
                nothing is removed, once its successor has swept; in an object store the page is put back.

        Raises:
            OSError: it could not be removed, or a successor has swept.
        """

    # --- leading -----------------------------------------------------------------------------

    @property
    @abstractmethod
    def lockable(self) -> bool:
        """Whether ``leading`` keeps others out, for as long as its process lives."""

    @abstractmethod
    def leading(self, *, leased: bool = False, take_over: bool = False) -> AbstractContextManager[None]:
        """Hold the log against other leaders, as far as the storage can; epochs do the rest.

        Args:
            leased: this leader has a lease beside the lock, and may lose the lock with it.
            take_over: take the lock from a leased leader, which has lost its lease and may be stopped, not dead.

        Raises:
            LogLocked: another leader holds it; says which, as far as that is known.
        """

    @abstractmethod
    def last_epoch(self) -> int:
        """The last epoch that was taken, 0 if none was.

        Raises:
            DamagedVersion: it cannot be told.
        """

    @abstractmethod
    def take_epoch(self, least: int) -> int:
        """Take an epoch for good, ``least`` or the next one that nobody has taken; only within ``leading``.

        Raises:
            LogLocked: another leader has taken over meanwhile.
            UnsupportedStorage: the storage cannot keep two writers apart.
        """

    @abstractmethod
    def sweep(self) -> None:
        """Take away what other writers left unfinished; only within ``leading``, after the epoch was taken.

        An overtaken leader that saw an older epoch as the newest has either published before this returns, or never
        will, where the storage can do that.
        """
