"""The names of folders and pages in an edit log, relative to the model's folder; no caller's text is part of them."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

BASE = "base.json"
"""Name of version 0's page."""


DIGITS = 8
"""Digits of an entry's number in the name of its folder."""


class Shelf(StrEnum):
    """A kind of entries, and the folder that holds them.

    Each entry is published once, under a version's number; a proposal under one that is made from its job's id.
    """

    VERSIONS = "versions"
    SNAPSHOTS = "snapshots"
    COMPACTIONS = "compactions"
    PROPOSALS = "proposals"


PAGES = {
    Shelf.VERSIONS: "manifest.json",
    Shelf.SNAPSHOTS: "snapshot.json",
    Shelf.COMPACTIONS: "compaction.json",
    Shelf.PROPOSALS: "proposal.json",
}
"""Name of each entry's page in its folder."""


class Entry(NamedTuple):
    """A folder with a page, which names the files beside it and their digests."""

    shelf: Shelf
    number: int

    @property
    def folder(self) -> str:
        """``versions/00000001``."""
        return f"{self.shelf}/{self.number:0{DIGITS}d}"

    @property
    def page(self) -> str:
        """``versions/00000001/manifest.json``."""
        return f"{self.folder}/{PAGES[self.shelf]}"


def version_entry(version: int) -> Entry:
    """Where a version stands."""
    return Entry(Shelf.VERSIONS, version)


def snapshot_entry(version: int) -> Entry:
    """Where the snapshot taken at a version stands."""
    return Entry(Shelf.SNAPSHOTS, version)


def proposal_entry(number: int) -> Entry:
    """Where a proposal stands."""
    return Entry(Shelf.PROPOSALS, number)
