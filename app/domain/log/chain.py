"""The chain of manifests: each names its parent's digest, and is verified against it before it is used.

A commit that fails in its last step takes its version back. So what was listed a moment ago and cannot be read is
looked for again: if it is not listed any more, it was never committed, and there is no such version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TypeVar

from pydantic import ValidationError

from app.domain.contract import Record
from app.domain.digests import sha256
from app.domain.entries import BASE, Shelf, version_entry
from app.domain.errors import DamagedVersion, UnknownModel, UnknownVersion
from app.domain.manifest import Base, Manifest
from app.domain.storage.storage import FoundT, Stamp, Storage

RecordT = TypeVar("RecordT", bound=Record)


@dataclass(frozen=True, slots=True)
class _Page:
    """A verified manifest; good for as long as its page has this stamp."""

    stamp: Stamp
    sha256: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read of the log with this base. ``jobs``: by job, the version at which to look for it first."""

    base: Stamp | None = None
    pages: dict[int, _Page] = field(default_factory=dict)
    jobs: dict[str, int] = field(default_factory=dict)

    def keep(self, page: _Page) -> None:
        version = page.manifest.version
        before = self.pages.get(version - 1)
        if before is not None and before.sha256 != page.manifest.parent:
            self.pages.pop(version - 1, None)  # it was withdrawn, and another was committed in its place
        self.pages[version] = page
        if page.manifest.job is not None:
            self.jobs[page.manifest.job] = version


class Chain:
    """The base and the manifests of one log. Safe in several threads; remembers what it has verified.

    Raises:
        DamagedVersion: wherever a page is read that does not have the bytes that were written, and is still there.
        UnknownVersion: wherever a version is read that has been withdrawn.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known = _Known()
        self._newest = 0

    def base(self) -> Base:
        """Version 0.

        Raises:
            UnknownModel: there is no log.
        """
        try:
            data = self._bytes(BASE)
        except DamagedVersion:
            model = self._storage.model
            if self._storage.stamp(BASE) is None:
                raise UnknownModel(f"there is no edit log of {model}", value=model) from None
            raise
        return self.parsed(Base, BASE, data)

    def head(self) -> int:
        """The newest version; 0 is the base model."""
        stamp = self._storage.stamp(BASE)
        if stamp != self._known.base:  # the log was created, or replaced by another one
            self._known, self._newest = _Known(stamp), 0
        self._newest = newest = self._storage.newest(Shelf.VERSIONS, self._newest)
        return newest

    def at_most(self, version: int | None) -> int:
        """Return ``version`` if it is the base or a committed one; the head if it is None.

        Raises:
            UnknownVersion: there is no such version.
        """
        if version is not None and self._stands(version):
            return version
        head = self.head()
        if version is None:
            return head
        if not 0 <= version <= head:
            raise self._unknown(version)
        return version

    def told(self, version: int | None, read: Callable[[int], FoundT]) -> FoundT:
        """What ``read`` returns for a version; if None, for the head, and again if that was withdrawn meanwhile.

        Raises:
            UnknownVersion: there is no such version.
        """
        while True:
            last = self.at_most(version)
            try:
                return read(last)
            except UnknownVersion:
                if version is not None:  # the head was withdrawn, though another may stand in its place by now
                    raise

    def verified(self, version: int) -> Manifest:
        """A version's manifest, checked to name the digest that its parent has."""
        return self._following(self._page(version), self.digest(version - 1))

    def manifests(self, last: int) -> list[Manifest]:
        """The manifests up to that of ``last``, oldest first."""
        found: list[Manifest] = []
        parent = self.digest(0) if last > 0 else ""
        for version in range(1, last + 1):
            page = self._page(version)
            found.append(self._following(page, parent))
            parent = page.sha256
        return found

    def newest_first(self) -> Iterator[Manifest]:
        """The manifests from the head on down, each read when it is asked for."""
        for version in range(self.head(), 0, -1):
            with suppress(UnknownVersion):
                yield self.verified(version)

    def digest(self, version: int) -> str:
        """SHA-256 that the version after ``version`` names as its parent's."""
        return sha256(self._bytes(BASE)) if version == 0 else self._page(version).sha256

    def find_job(self, job_id: str) -> Manifest | None:
        """The version that this job committed, if it did.

        The head is looked at each time, since it alone may have been withdrawn and replaced; what is before it is read
        once.
        """
        head, known = self.head(), self._known
        told = [known.jobs[job_id]] if job_id in known.jobs else []
        unread = (version for version in range(head, 0, -1) if version == head or version not in known.pages)
        for version in chain(told, unread):
            with suppress(UnknownVersion):
                page = self._page(version)
                if page.manifest.job == job_id:
                    return self._following(page, self.digest(version - 1))
        return None

    def parsed(self, kind: type[RecordT], name: str, data: bytes) -> RecordT:
        """The record that a page's bytes hold."""
        try:
            return kind.model_validate_json(data)
        except ValidationError as error:
            shown = self._storage.shown(name)
            noun = kind.__name__.removesuffix("Page").lower()
            raise DamagedVersion(f"{shown} is no {noun} that this release knows", value=shown) from error

    def _following(self, page: _Page, parent: str) -> Manifest:
        manifest = page.manifest
        if manifest.parent != parent:
            shown = self._storage.shown(version_entry(manifest.version).page)
            detail = f"{shown} does not follow from version {manifest.version - 1} as it is"
            raise DamagedVersion(detail, value=shown)
        return manifest

    def _stands(self, version: int) -> bool:
        """Whether this version was read, and is there as it was: no need to look through all that are there."""
        known = self._known
        page = known.pages.get(version)
        if page is None or self._storage.stamp(BASE) != known.base:
            return False
        return page.stamp == self._storage.stamp(version_entry(version).page)

    def _page(self, version: int) -> _Page:
        known, name = self._known, version_entry(version).page
        page = known.pages.get(version)
        if page is not None and page.stamp == self._storage.stamp(name):
            return page
        while True:
            before = self._storage.stamp(name)
            try:
                page = self._storage.settled(name, partial(self._read, version, name))
            except DamagedVersion:
                if version > self.head():
                    raise self._unknown(version) from None
                if self._storage.stamp(name) == before:  # else another version was committed there meanwhile
                    raise
            else:
                known.keep(page)
                return page

    def _read(self, version: int, name: str) -> _Page:
        stamp, data = self._storage.stamp(name), self._storage.read_page(name)
        manifest = self.parsed(Manifest, name, data)
        if manifest.version != version:
            shown = self._storage.shown(name)
            raise DamagedVersion(f"{shown} is that of version {manifest.version}", value=shown)
        return _Page(stamp, sha256(data), manifest)

    def _bytes(self, name: str) -> bytes:
        return self._storage.settled(name, partial(self._storage.read_page, name))

    def _unknown(self, version: int) -> UnknownVersion:
        return UnknownVersion(f"{self._storage.model} has no version {version}", value=version)
