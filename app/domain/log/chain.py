"""The chain of manifests: each names its parent's digest, and is verified against it before it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from app.domain.contract import Record
from app.domain.digests import sha256
from app.domain.entries import BASE, Shelf, version_entry
from app.domain.errors import DamagedVersion, UnknownModel, UnknownVersion
from app.domain.manifest import Base, Manifest
from app.domain.storage.storage import Stamp, Storage

RecordT = TypeVar("RecordT", bound=Record)


@dataclass(frozen=True, slots=True)
class _Page:
    """A verified manifest; good for as long as its page has this stamp."""

    stamp: Stamp
    sha256: str
    manifest: Manifest


class Chain:
    """The base and the manifests of one log. Safe in several threads; remembers what it has verified.

    Raises:
        DamagedVersion: wherever a page is read that does not have the bytes that were written.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._base_stamp: Stamp | None = None
        self._pages: dict[int, _Page] = {}

    def base(self) -> Base:
        """Version 0.

        Raises:
            UnknownModel: there is no log.
        """
        model = self._storage.model
        if self._storage.stamp(BASE) is None:
            raise UnknownModel(f"there is no edit log of {model}", value=model)
        return self.parsed(Base, BASE, self._storage.read_page(BASE))

    def head(self) -> int:
        """The newest version; 0 is the base model."""
        stamp = self._storage.stamp(BASE)
        if stamp != self._base_stamp:  # a log was put here, or in another's place
            self._pages.clear()
            self._base_stamp = stamp
        return max(self._storage.numbers(Shelf.VERSIONS), default=0)

    def at_most(self, version: int | None) -> int:
        """``version``, which is the base or a committed one; the head if None.

        Raises:
            UnknownVersion: there is no such version.
        """
        head = self.head()
        if version is None:
            return head
        if not 0 <= version <= head:
            raise UnknownVersion(f"{self._storage.model} has no version {version}", value=version)
        return version

    def verified(self, version: int) -> Manifest:
        """The manifest, whose parent's digest is the one that it names."""
        page = self._page(version)
        if page.manifest.parent != self.digest(version - 1):
            shown = self._storage.shown(version_entry(version).page)
            raise DamagedVersion(f"{shown} does not follow from version {version - 1} as it is", value=shown)
        return page.manifest

    def digest(self, version: int) -> str:
        """What a child of ``version`` names as its parent."""
        return sha256(self._storage.read_page(BASE)) if version == 0 else self._page(version).sha256

    def find_job(self, job_id: str) -> int | None:
        """The version that this job committed, if it did."""
        for version in range(self.head(), 0, -1):
            page = self._pages.get(version) or self._page(version)
            if page.manifest.job == job_id:
                return version
        return None

    def parsed(self, kind: type[RecordT], name: str, data: bytes) -> RecordT:
        """A page's bytes as what they say."""
        try:
            return kind.model_validate_json(data)
        except ValidationError as error:
            shown = self._storage.shown(name)
            noun = kind.__name__.removesuffix("Page").lower()
            raise DamagedVersion(f"{shown} is no {noun} that this release knows", value=shown) from error

    def _page(self, version: int) -> _Page:
        name = version_entry(version).page
        known, stamp = self._pages.get(version), self._storage.stamp(name)
        if known is not None and known.stamp == stamp:
            return known
        data = self._storage.read_page(name)
        manifest = self.parsed(Manifest, name, data)
        if manifest.version != version:
            shown = self._storage.shown(name)
            raise DamagedVersion(f"{shown} is that of version {manifest.version}", value=shown)
        page = _Page(stamp, sha256(data), manifest)
        self._pages[version] = page
        return page
