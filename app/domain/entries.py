"""The names of folders and pages in an edit log, relative to the model's folder.

Of what callers send only an alias is part of one: lower-case letters, digits and '-'.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

BASE = "base.json"
"""Name of version 0's page."""


DIGITS = 8
"""Digits of an entry's number in the name of its folder."""


class Shelf(StrEnum):
    """A kind of entries, and the folder that holds them.

    Each entry is published once, under a version's number; a proposal under one that is made from its job's id; the
    moves of an alias in a folder of its own, where they are counted from 1.
    """

    VERSIONS = "versions"
    SNAPSHOTS = "snapshots"
    COMPACTIONS = "compactions"
    PROPOSALS = "proposals"
    ALIASES = "aliases"


PAGES = {
    Shelf.VERSIONS: "manifest.json",
    Shelf.SNAPSHOTS: "snapshot.json",
    Shelf.COMPACTIONS: "compaction.json",
    Shelf.PROPOSALS: "proposal.json",
    Shelf.ALIASES: "move.json",
}
"""Name of each entry's page in its folder."""


class Entry(NamedTuple):
    """A folder with a page, which names the files beside it and their digests. ``alias``: whose move it is."""

    shelf: Shelf
    number: int
    alias: str = ""

    @property
    def folder(self) -> str:
        """``versions/00000001``, ``aliases/production/00000001``."""
        return f"{self.place}/{self.number:0{DIGITS}d}"

    @property
    def place(self) -> str:
        """The folder that it lies in: ``versions``, ``aliases/production``."""
        return place_of(self.shelf, self.alias)

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


def move_entry(alias: str, number: int) -> Entry:
    """Where a move of an alias stands."""
    return Entry(Shelf.ALIASES, number, alias)


def place_of(shelf: Shelf, alias: str = "") -> str:
    """The folder of a shelf's entries, or of those of one alias."""
    return f"{shelf}/{alias}" if alias else str(shelf)
