"""The manifests of one log that were read and verified, as far as they are remembered."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

from app.domain.manifest import Manifest
from app.domain.storage.storage import Stamp


class Depth(IntEnum):
    """How much of a manifest is remembered."""

    OUTLINE = 0
    FACTS = 1
    WHOLE = 2


@dataclass(frozen=True, slots=True)
class Page:
    """A verified manifest, as far as it is remembered; good for as long as its page has this stamp."""

    stamp: Stamp
    sha256: str
    manifest: Manifest
    depth: Depth

    @classmethod
    def of(cls, stamp: Stamp, sha256: str, whole: Manifest, depth: Depth) -> Self:
        """A page that remembers no less than that, and all where that is no more."""
        kept = _as_far_as(depth, whole)
        return cls(stamp, sha256, kept, Depth.WHOLE if kept is whole else depth)


@dataclass(frozen=True, slots=True)
class KnownPages:
    """What was read of the log with this base. ``jobs``: by job, the version at which to look for it first."""

    base: Stamp | None = None
    pages: dict[int, Page] = field(default_factory=dict)
    jobs: dict[str, int] = field(default_factory=dict)

    def keep(self, page: Page) -> None:
        """Remember a page; the one before it is forgotten if this one does not follow on it."""
        version = page.manifest.version
        before = self.pages.get(version - 1)
        if before is not None and before.sha256 != page.manifest.parent:
            self.pages.pop(version - 1, None)  # it was withdrawn, and another was committed in its place
        self.pages[version] = page
        if page.manifest.job is not None:
            self.jobs[page.manifest.job] = version


def _as_far_as(depth: Depth, whole: Manifest) -> Manifest:
    match depth:
        case Depth.OUTLINE:
            return whole.outline
        case Depth.FACTS:
            return whole.without_reports
        case Depth.WHOLE:
            return whole
