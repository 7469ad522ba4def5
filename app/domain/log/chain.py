"""The chain of manifests: each names its parent's digest, and is verified against it before it is used.

A commit that fails in its last step takes its version back. So what was listed a moment ago and cannot be read is
looked for again: if it is not listed any more, it was never committed, and there is no such version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TypeVar

from pydantic import ValidationError

from app.domain.contract import Record
from app.domain.digests import sha256
from app.domain.entries import BASE, Shelf, version_entry
from app.domain.errors import DamagedVersion, UnknownModel, UnknownVersion
from app.domain.garbage_collection import collection_paused
from app.domain.log.known_pages import Depth, KnownPages, Page
from app.domain.manifest import Base, Manifest
from app.domain.storage.storage import FoundT, Storage

RecordT = TypeVar("RecordT", bound=Record)


class Chain:
    """The base and the manifests of one log. Safe in several threads; remembers what it has verified.

    What it remembers of a manifest is an outline; the facts too, once somebody has asked for the versions' facts.
    Reports of single facts, which would be most of it, are read anew, but for the manifest that was read last.

    Raises:
        DamagedVersion: wherever a page is read that does not have the bytes that were written, and is still there.
        UnknownVersion: wherever a version is read that has been withdrawn.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known = KnownPages()
        self._newest = 0
        self._last: tuple[str, Manifest] | None = None

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
            self._known, self._newest = KnownPages(stamp), 0
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
        """A version's manifest, whole, checked to name the digest that its parent has."""
        return self._whole_of(self._page(version))

    def outline(self, version: int) -> Manifest:
        """The same as an outline, which is at hand once it was read."""
        return self._following(self._page(version), self.digest(version - 1))

    def manifests(self, last: int, first: int = 1) -> list[Manifest]:
        """The manifests from that of ``first`` to that of ``last``, oldest first, without reports of single facts.

        Of those before, the parent's page alone is read.
        """
        found: list[Manifest] = []
        parent = self.digest(first - 1) if last >= first else ""
        with collection_paused():
            for version in range(first, last + 1):
                page = self._page(version, Depth.FACTS)
                found.append(self._following(page, parent))
                parent = page.sha256
        return found

    def newest_first(self) -> Iterator[Manifest]:
        """The manifests from the head on down, each read when it is asked for, as outlines."""
        for version in range(self.head(), 0, -1):
            with suppress(UnknownVersion):
                yield self.outline(version)

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
                if page.manifest.job != job_id:
                    continue
                if (found := self._whole_of(page)).job == job_id:  # else another stands in its place by now
                    return found
        return None

    def parsed(self, kind: type[RecordT], name: str, data: bytes) -> RecordT:
        """The record that a page's bytes hold."""
        try:
            return kind.model_validate_json(data)
        except ValidationError as error:
            shown = self._storage.shown(name)
            noun = kind.__name__.removesuffix("Page").lower()
            raise DamagedVersion(f"{shown} is no {noun} that this release knows", value=shown) from error

    def _whole_of(self, page: Page) -> Manifest:
        """The whole manifest of a page, checked as ``verified`` says; that which stands there now if it is read."""
        version, whole = page.manifest.version, self._at_hand(page)
        if whole is None:
            page, whole = self._read_in(version, page.depth)
        self._following(page, self.digest(version - 1))
        return whole

    def _at_hand(self, page: Page) -> Manifest | None:
        """The whole manifest of a page, if it need not be read again."""
        if page.depth is Depth.WHOLE:
            return page.manifest
        last = self._last
        return last[1] if last is not None and last[0] == page.sha256 else None

    def _following(self, page: Page, parent: str) -> Manifest:
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

    def _page(self, version: int, depth: Depth = Depth.OUTLINE) -> Page:
        """A page of which no less than that is remembered."""
        known = self._known
        page = known.pages.get(version)
        if page is None or page.stamp != self._storage.stamp(version_entry(version).page):
            return self._read_in(version, depth)[0]
        if page.depth >= depth:
            return page
        if (whole := self._at_hand(page)) is None:
            return self._read_in(version, depth)[0]
        page = Page.of(page.stamp, page.sha256, whole, depth)
        known.keep(page)
        return page

    def _read_in(self, version: int, depth: Depth) -> tuple[Page, Manifest]:
        """Read a page, and remember so much of it; with the whole manifest."""
        known, name = self._known, version_entry(version).page
        while True:
            before = self._storage.stamp(name)
            try:
                page, whole = self._storage.settled(name, partial(self._read, version, name, depth))
            except DamagedVersion:
                if version > self.head():
                    raise self._unknown(version) from None
                if self._storage.stamp(name) == before:  # else another version was committed there meanwhile
                    raise
            else:
                known.keep(page)
                self._last = (page.sha256, whole)
                return page, whole

    def _read(self, version: int, name: str, depth: Depth) -> tuple[Page, Manifest]:
        stamp, data = self._storage.stamp(name), self._storage.read_page(name)
        manifest = self.parsed(Manifest, name, data)
        if manifest.version != version:
            shown = self._storage.shown(name)
            raise DamagedVersion(f"{shown} is that of version {manifest.version}", value=shown)
        return Page.of(stamp, sha256(data), manifest, depth), manifest

    def _bytes(self, name: str) -> bytes:
        return self._storage.settled(name, partial(self._storage.read_page, name))

    def _unknown(self, version: int) -> UnknownVersion:
        return UnknownVersion(f"{self._storage.model} has no version {version}", value=version)
