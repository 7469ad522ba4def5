"""An edit log in an object store, through fsspec: objects are put whole, and an entry's page only if it is absent.

    versions/00000001/manifest.json                 the commit; ends with a line that holds its digest
    versions/00000001/update.safetensors.<sha256>   put before it; no other writer has a file of that name
    epochs/00000007                                 taken by a leader

There are no locks: the worker that took the newest epoch leads, and an earlier leader learns of it at its next commit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from app.domain.digests import check_bytes, sha256
from app.domain.entries import BASE, PAGES, Entry, Shelf, place_of
from app.domain.errors import DamagedVersion, UnsupportedStorage
from app.domain.failpoints import Point, failpoint
from app.domain.manifest import FileRecord
from app.domain.storage.storage import Stamp, Storage

EPOCHS = "epochs"


class ObjectStorage(Storage):
    """One model's log under ``path`` of an fsspec file system."""

    def __init__(self, files: Any, path: str, model: str) -> None:
        super().__init__(model)
        self._fs = files
        self._path = f"{path.rstrip('/')}/{model}"

    @classmethod
    def open(cls, url: str, model: str) -> ObjectStorage:
        """The log of a model under a URL.

        Raises:
            UnsupportedStorage: fsspec, or the package that it needs for this URL, is missing.
        """
        return cls(*_located(url), model)

    @staticmethod
    def models(url: str) -> list[str]:
        """Names of the folders under a URL that hold a log.

        Raises:
            UnsupportedStorage: as ``open`` does.
        """
        files, path = _located(url)
        files.invalidate_cache()
        return [str(name).split("/")[-2] for name in files.glob(f"{path.rstrip('/')}/*/{BASE}")]

    # --- reading -----------------------------------------------------------------------------

    def stamp(self, page: str) -> Stamp | None:
        """Of the base, the object's ``ukey`` by fsspec; of an entry's page, its name: it is put once and stays."""
        if page != BASE:
            return page
        self._fs.invalidate_cache()
        try:
            return str(self._fs.ukey(self._key(page)))
        except OSError:
            return None

    def read_page(self, page: str) -> bytes:
        """A page, which its last line confirms."""
        data, _, noted = self._get(page).rpartition(b"\n")
        if noted != sha256(data).encode():
            shown = self.shown(page)
            raise DamagedVersion(f"{shown} does not have the bytes that were written", value=shown)
        return data

    def read_file(self, entry: Entry, name: str, record: FileRecord) -> bytes:
        """A file, which its record confirms."""
        stored = _stored_name(entry, name, record.sha256)
        return check_bytes(self._get(stored), record.sha256, record.size, self.shown(stored))

    def numbers(self, shelf: Shelf, alias: str = "") -> list[int]:
        """An entry is there when its page is."""
        place = place_of(shelf, alias)
        page = re.compile(rf"/{place}/([0-9]{{8}})/{re.escape(PAGES[shelf])}$")
        return sorted(int(found[1]) for name in self._names(place) if (found := page.search(name)))

    def aliases(self) -> list[str]:
        """Those of which there is a move."""
        page = re.compile(rf"/{Shelf.ALIASES}/([^/]+)/[0-9]{{8}}/{re.escape(PAGES[Shelf.ALIASES])}$")
        return sorted({found[1] for name in self._names(Shelf.ALIASES) if (found := page.search(name))})

    # --- writing -----------------------------------------------------------------------------

    def begin(self, page: str, data: bytes) -> None:
        """Put the page if it is absent."""
        try:
            self._put_if_absent(page, _with_digest(data))
        except FileExistsError:
            return

    def publish(
        self, entry: Entry, page: bytes, files: Mapping[str, bytes], permitted: Callable[[], None] = lambda: None
    ) -> None:
        """Put the files under names of their own, then the page if it is absent.

        If the answer to a put was lost, or the put was sent again, it has succeeded if the page has our bytes.
        """
        whole = _with_digest(page)
        for name, data in files.items():
            failpoint(Point.OBJECT_PUT_BEFORE)
            self._fs.pipe_file(self._key(_stored_name(entry, name, sha256(data))), data)
            failpoint(Point.OBJECT_PUT_AFTER)
        permitted()
        failpoint(Point.OBJECT_COMMIT_BEFORE)
        try:
            self._put_if_absent(entry.page, whole)
        except OSError:
            if not self._holds(entry.page, whole):
                raise
        failpoint(Point.OBJECT_COMMIT_AFTER)

    def strip(self, entry: Entry, keep: Mapping[str, FileRecord]) -> None:
        """Remove the entry's objects one by one; also those of writers that died or came too late."""
        stored = (_stored_name(entry, name, record.sha256) for name, record in keep.items())
        kept = {self._key(name) for name in (entry.page, *stored)}
        for name in self._names(entry.folder):
            if name not in kept:
                failpoint(Point.COMPACT_REMOVE_BEFORE)
                self._remove(name)
                failpoint(Point.COMPACT_REMOVE_AFTER)

    def discard(self, entry: Entry, permitted: Callable[[], None] | None = None) -> None:
        """Remove the page first: without it, the entry is not there."""
        names = self._names(entry.folder)
        failpoint(Point.DISCARD_BEFORE)
        if permitted is not None:
            permitted()
            self._withdraw(entry.page, permitted)
        for name in sorted(names, key=lambda name: name != self._key(entry.page)):
            self._remove(name)
            failpoint(Point.DISCARD_AFTER)

    def _withdraw(self, page: str, permitted: Callable[[], None]) -> None:
        """Remove a page; put it back if that turns out not to have been permitted, and raise.

        Who takes the lead afterwards does not see it; who took it before has its page again.
        """
        key = self._key(page)
        with suppress(FileNotFoundError):
            data = bytes(self._fs.cat_file(key))
            self._remove(key)
            try:
                permitted()
            except BaseException:
                with suppress(FileExistsError):
                    self._put_if_absent(page, data)
                raise

    def _remove(self, name: str) -> None:
        with suppress(FileNotFoundError):  # another leader or compaction was quicker
            self._fs.rm_file(name)

    # --- leading -----------------------------------------------------------------------------

    @property
    def lockable(self) -> bool:
        """False: there are no locks here."""
        return False

    @contextmanager
    def leading(self, *, leased: bool = False, take_over: bool = False) -> Iterator[None]:
        """Do nothing: here the epoch alone decides."""
        yield

    def last_epoch(self) -> int:
        """The newest object among the epochs."""
        names = (name.rpartition("/")[2] for name in self._names(EPOCHS))
        return max((int(name) for name in names if name.isdecimal()), default=0)

    def take_epoch(self, least: int) -> int:
        """Put the epoch's object, and see that it cannot be put again."""
        epoch = least
        while not self._taken(epoch):
            epoch += 1
        if self._taken(epoch):
            detail = f"the storage of {self.model} lets two writers create the same object: it cannot keep an edit log"
            raise UnsupportedStorage(detail)
        return epoch

    def sweep(self) -> None:
        """Do nothing: an object that no page names does no harm, and its writer may still be at work."""

    # --- objects -----------------------------------------------------------------------------

    def _key(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _get(self, name: str) -> bytes:
        try:
            return bytes(self._fs.cat_file(self._key(name)))
        except OSError as error:
            raise self.lost(name, error) from error

    def _holds(self, name: str, data: bytes) -> bool:
        try:
            return bytes(self._fs.cat_file(self._key(name))) == data
        except OSError:
            return False

    def _names(self, folder: str) -> list[str]:
        self._fs.invalidate_cache()
        return [str(name) for name in self._fs.find(self._key(folder))]

    def _taken(self, epoch: int) -> bool:
        """Take an epoch; False if it was taken."""
        try:
            self._put_if_absent(f"{EPOCHS}/{epoch:08d}", b"")
        except FileExistsError:
            return False
        return True

    def _put_if_absent(self, name: str, data: bytes) -> None:
        """Create an object that must not be there.

        Raises:
            FileExistsError: it is.
            UnsupportedStorage: the file system cannot do that in one atomic step.
        """
        try:
            if _has_own_pipe(self._fs):
                self._fs.pipe_file(self._key(name), data, mode="create")
            else:  # fsspec's own looks first and writes later
                with self._fs.open(self._key(name), "xb") as file:
                    file.write(data)
        except (NotImplementedError, ValueError, TypeError) as error:
            detail = f"the storage of {self.model} cannot create an object only if it is absent"
            raise UnsupportedStorage(detail) from error


def _has_own_pipe(files: Any) -> bool:
    from fsspec import AbstractFileSystem  # noqa: PLC0415 - an extra

    return "pipe_file" in vars(files) or type(files).pipe_file is not AbstractFileSystem.pipe_file


def _located(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path there."""
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra

        files, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        detail = f"edit logs at this URL need palimpsest[objects] and fsspec's package for it: {error}"
        raise UnsupportedStorage(detail) from error
    return files, str(path)


def _stored_name(entry: Entry, name: str, digest: str) -> str:
    return f"{entry.folder}/{name}.{digest}"


def _with_digest(data: bytes) -> bytes:
    return data + b"\n" + sha256(data).encode()
