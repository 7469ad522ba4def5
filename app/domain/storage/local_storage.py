"""An edit log as a directory: an entry is written under a hidden name, and then renamed without replacing any other.

Beside every page stands its digest, as ``sha256sum`` writes it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from app.domain import digests
from app.domain.entries import BASE, DIGITS, PAGES, Entry, Shelf, place_of
from app.domain.errors import DamagedVersion, LogLocked
from app.domain.manifest import FileRecord
from app.domain.storage import durable_files
from app.domain.storage.storage import Stamp, Storage

EPOCH = "epoch"
LEADER_LOCK = "leader.lock"
BASE_LOCK = "base.lock"
BY_LEASE = " by lease"
"""In the note of who leads: the lock may be taken over when the lease has ended."""


class LocalStorage(Storage):
    """One model's log in the directory ``root/model``. The lead is a file lock, which ends with its process."""

    def __init__(self, root: Path, model: str) -> None:
        super().__init__(model)
        self._dir = root / model
        self._lock_inode: int | None = None

    @staticmethod
    def models(root: Path) -> list[str]:
        """Names of the folders under ``root`` that hold a log."""
        return [base.parent.name for base in root.glob(f"*/{BASE}")]

    # --- reading -----------------------------------------------------------------------------

    def stamp(self, page: str) -> Stamp | None:
        """Inode, bytes, and time of the last change in nanoseconds."""
        try:
            stat = (self._dir / page).stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def read_page(self, page: str) -> bytes:
        """A page, which its digest confirms."""
        return digests.read_checked(self._dir / page, self.shown(page))

    def read_file(self, entry: Entry, name: str, record: FileRecord) -> bytes:
        """A file, which its record confirms."""
        relative = f"{entry.folder}/{name}"
        try:
            data = (self._dir / relative).read_bytes()
        except OSError as error:
            raise self.lost(relative, error) from error
        return digests.check_bytes(data, record.sha256, record.size, self.shown(relative))

    def numbers(self, shelf: Shelf, alias: str = "") -> list[int]:
        """Every folder with a final name counts, whole or not."""
        names = self._names(place_of(shelf, alias))
        return sorted(int(name) for name in names if len(name) == DIGITS and name.isascii() and name.isdecimal())

    def newest(self, shelf: Shelf, known: int = 0) -> int:
        """Go on from the one that is known, if it is still there; a folder of 10,000 takes long to list."""
        if known == 0 or not self._has(Entry(shelf, known)):
            return super().newest(shelf)
        while self._has(Entry(shelf, known + 1)):
            known += 1
        return known

    def aliases(self) -> list[str]:
        """Every folder that is not hidden."""
        return sorted(name for name in self._names(Shelf.ALIASES) if not name.startswith(durable_files.HIDDEN))

    def _has(self, entry: Entry) -> bool:
        return os.path.lexists(self._dir / entry.folder)

    def _names(self, folder: str) -> list[str]:
        try:
            return os.listdir(self._dir / folder)  # noqa: PTH208 - names are all we need
        except (FileNotFoundError, NotADirectoryError):
            return []

    # --- writing -----------------------------------------------------------------------------

    def begin(self, page: str, data: bytes) -> None:
        """Write the digest before the page: as soon as the base's page is there, the log exists."""
        durable_files.make_dir(self._dir / Shelf.VERSIONS)
        with self._base_lock():
            if not (self._dir / page).is_file():
                for name, content in digests.with_digest(page, data).items():
                    durable_files.replace_file(self._dir / name, content)

    def publish(
        self, entry: Entry, page: bytes, files: Mapping[str, bytes], permitted: Callable[[], None] = lambda: None
    ) -> None:
        """Write into a hidden directory, rename it."""
        durable_files.make_dir(self._dir / entry.place)
        pages = digests.with_digest(PAGES[entry.shelf], page)
        durable_files.publish_dir(self._dir / entry.folder, {**files, **pages}, permitted)

    def strip(self, entry: Entry, keep: Mapping[str, FileRecord]) -> None:
        """Remove files one by one; the page and its digest stay."""
        page = PAGES[entry.shelf]
        durable_files.remove_files(self._dir / entry.folder, {page, digests.digest_name(page), *keep})

    def discard(self, entry: Entry, permitted: Callable[[], None] | None = None) -> None:
        """Hide the directory, then remove it."""
        durable_files.discard_dir(self._dir / entry.folder, permitted)

    # --- leading -----------------------------------------------------------------------------

    @property
    def lockable(self) -> bool:
        """True: by a file lock."""
        return True

    @contextmanager
    def leading(self, *, leased: bool = False, take_over: bool = False) -> Iterator[None]:
        """Hold a lock that ends with the process, or when its file is put aside."""
        durable_files.make_dir(self._dir / Shelf.VERSIONS)
        path = self._dir / LEADER_LOCK
        with ExitStack() as stack:
            try:
                lock = stack.enter_context(durable_files.exclusive(path, wait=False))
            except BlockingIOError as error:
                holder = path.read_text(encoding="utf-8").strip()
                if not (take_over and BY_LEASE in holder):
                    holder = holder or "a leader that has just begun"
                    raise LogLocked(f"the edit log of {self.model} is held by {holder}", value=holder) from error
                durable_files.put_aside(path)
                lock = stack.enter_context(durable_files.exclusive(path, wait=False))
            self._lock_inode = os.fstat(lock.fileno()).st_ino
            lock.truncate(0)
            lock.write(f"pid {os.getpid()} on {socket.gethostname()}{BY_LEASE if leased else ''}")
            lock.flush()
            yield

    def last_epoch(self) -> int:
        """What the epoch file says."""
        try:
            return int((self._dir / EPOCH).read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0
        except ValueError as error:
            shown = self.shown(EPOCH)
            raise DamagedVersion(f"{shown} does not hold a number", value=shown) from error

    def take_epoch(self, least: int) -> int:
        """Write the epoch file, and add the epoch to the note of who leads.

        It waits for no lock, since a stopped leader may hold it. A leader that was overtaken meanwhile fails here.
        """
        with self._note():
            epoch = max(least, self.last_epoch() + 1)
            durable_files.replace_file(self._dir / EPOCH, f"{epoch}\n".encode())
        with self._note() as note:
            note.write(f", epoch {epoch}\n")
        return epoch

    def sweep(self) -> None:
        """Remove everything hidden: what loses its name before it is renamed to its final one is never published."""
        for shelf in Shelf:
            durable_files.sweep(self._dir / shelf)
        for alias in self.aliases():
            durable_files.sweep(self._dir / place_of(Shelf.ALIASES, alias))
        durable_files.sweep(self._dir)  # the base is there: nobody writes beside it any more

    @contextmanager
    def _note(self) -> Iterator[TextIO]:
        """The lock file, opened to append to this leader's note in it.

        Raises:
            LogLocked: another leader has replaced the file by its own.
        """
        with (self._dir / LEADER_LOCK).open("a", encoding="utf-8") as note:
            if os.fstat(note.fileno()).st_ino != self._lock_inode:
                raise LogLocked(f"another leader has taken over the edit log of {self.model}", value=self.model)
            yield note

    @contextmanager
    def _base_lock(self) -> Iterator[None]:
        """Be the only writer of the base's page and its digest."""
        with durable_files.exclusive(self._dir / BASE_LOCK, wait=True):
            yield
