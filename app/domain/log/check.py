"""Checking a whole log: every page and file of it, what is damaged, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from app.domain.entries import BASE, DIGITS, Entry, Shelf, move_entry, proposal_entry, snapshot_entry, version_entry
from app.domain.errors import CompactedVersion, DamagedVersion, NotFound
from app.domain.log.proposals import id_of
from app.domain.log.reader import LogReader
from app.domain.manifest import FileRecord, Manifest


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found at one part of a log, for instance a version; ``size`` is that of its files in bytes.

    damage: what is wrong, each naming the page or file relative to the root of the logs; empty if it is whole.
    remedies: what to do about it.
    note: what else there is to say.
    """

    title: str
    size: int = 0
    damage: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    note: str = ""


class LogCheck(LogReader):
    """Checks a log from end to end. It only reads, and the log may be in use."""

    def run(self) -> Iterator[Checked]:
        """Base, versions, snapshots, proposals, aliases and epoch, as they are checked.

        Raises:
            UnknownModel: there is no log.
        """
        yield (base := self._base())
        broken = 0 if base.damage else None
        damaged: set[int] = set()
        versions = []
        for version in range(1, self.head() + 1):
            if broken is not None:
                yield _unchecked(f"version {version}", broken)
                continue
            try:
                checked = self._version(self.manifest(version))
            except NotFound:  # it was withdrawn since it was listed, and never committed
                continue
            except DamagedVersion as error:
                broken = version
                yield Checked(f"version {version}", 0, (error.detail,), (self._page_remedy(version),))
                continue
            versions.append(version)
            damaged |= {version} if checked.damage else set()
            yield checked
        rotten = set()
        for number in self.snapshots():
            with suppress(NotFound):  # discarded since it was listed
                checked = self._snapshot(number, broken)
                rotten |= {number} if checked.damage else set()
                yield checked
        for number in self.proposals.numbers():
            with suppress(NotFound):  # published or dropped since it was listed
                yield self._proposal(number)
        for alias in self.aliases.names():
            yield self._alias(alias)
        yield from self._epoch()
        if damaged or rotten:
            yield self._outlook(len(versions), damaged, rotten)

    def _base(self) -> Checked:
        try:
            self.base()
        except DamagedVersion as error:
            remedy = f"Restore {self._storage.shown(BASE)} from a backup: the whole log rests on it."
            return Checked("base", 0, (error.detail,), (remedy,))
        return Checked("base")

    def _page_remedy(self, version: int) -> str:
        entry, shown = version_entry(version), self._storage.shown
        return (
            f"Restore {shown(entry.page)} from a backup. Without one, this version and all later ones are lost: stop "
            f"the model's worker, move {shown(entry.folder)} and every later folder of {shown(Shelf.VERSIONS)} and "
            f"{shown(Shelf.SNAPSHOTS)} out of the log, and start it again at version {version - 1}."
        )

    def _version(self, manifest: Manifest) -> Checked:
        version = manifest.version
        title, size = f"version {version}", sum(record.size for record in manifest.files.values())
        stripped = Checked(title, 0, note="its files were removed by compact")
        if version < self.compacted_before():
            return stripped
        try:
            damage = self._file_damage(version_entry(version), manifest.files, partial(self.read, version))
        except CompactedVersion:  # they are being removed now
            return stripped
        remedies = (f"Restore {name}: {record.size} bytes, sha256 {record.sha256}." for name, record in damage.values())
        return Checked(title, size, tuple(damage), tuple(remedies))

    def _snapshot(self, number: int, broken: int | None) -> Checked:
        title = f"snapshot {number}"
        if broken is not None and number >= broken:
            return _unchecked(title, broken)
        try:
            page = self._replays.page(number)
        except DamagedVersion as error:
            return Checked(title, 0, (error.detail,))
        size, entry = sum(record.size for record in page.files.values()), snapshot_entry(number)
        damage = self._file_damage(
            entry, page.files, lambda name: self._storage.read_file(entry, name, page.files[name])
        )
        if damage:
            self._replays.page(number)  # raises NotFound if it was discarded meanwhile
        return Checked(title, size, tuple(damage))

    def _proposal(self, number: int) -> Checked:
        title = f"proposal {number:0{DIGITS}d}"
        remedy = f"Drop {id_of(number)}; no version rests on it."
        try:
            page = self.proposals.page(number)
        except DamagedVersion as error:
            return Checked(title, 0, (error.detail,), (remedy,))
        size, entry = sum(record.size for record in page.files.values()), proposal_entry(number)
        damage = self._file_damage(entry, page.files, partial(self.proposals.file, page))
        return Checked(title, size, tuple(damage), (remedy,) if damage else ())

    def _alias(self, alias: str) -> Checked:
        """All moves of an alias."""
        title, damage, remedies = f"alias {alias}", list[str](), list[str]()
        for number in self.aliases.numbers(alias):
            try:
                self.aliases.move(alias, number)
            except DamagedVersion as error:
                entry, shown = move_entry(alias, number), self._storage.shown
                damage.append(error.detail)
                remedies.append(
                    f"Restore {shown(entry.page)} from a backup. Without one, move {shown(entry.folder)} out of the "
                    f"log: {alias} points to where the move before it says, unless there is a later one."
                )
        return Checked(title, 0, tuple(damage), tuple(remedies))

    def _file_damage(
        self, entry: Entry, files: dict[str, FileRecord], read: Callable[[str], bytes]
    ) -> dict[str, tuple[str, FileRecord]]:
        """What is wrong, with the file's name and what it should be."""
        found = {}
        for name, record in files.items():
            try:
                read(name)
            except DamagedVersion as error:
                found[error.detail] = self._storage.shown(f"{entry.folder}/{name}"), record
        return found

    def _epoch(self) -> Iterator[Checked]:
        try:
            self._storage.last_epoch()
        except DamagedVersion as error:
            remedy = f"While no worker runs, remove {error.value}: the newest manifest tells the last epoch too."
            yield Checked("epoch", 0, (error.detail,), (remedy,))

    def _outlook(self, last: int, damaged: set[int], rotten: set[int]) -> Checked:
        """What still works although files are damaged."""
        if self._works(last, damaged, rotten):
            note = f"Version {last} can be started without what is damaged."
            remedies = (
                ("Damaged snapshots alone harm nobody; `palimpsest log compact` removes them.",) if rotten else ()
            )
            return Checked("outlook", note=note, remedies=remedies)
        good = next(version for version in range(last - 1, -1, -1) if self._works(version, damaged, rotten))
        remedy = f"Without a backup: `palimpsest log rollback {self.model} --to {good}`, then start the worker."
        note = f"Version {last} needs what is damaged; version {good} is the newest that does not."
        return Checked("outlook", note=note, remedies=(remedy,))

    def _works(self, version: int, damaged: set[int], rotten: set[int]) -> bool:
        """Whether a version can be put together from undamaged files alone."""
        at, first = self.at(version), self.compacted_before()
        covered = next((covered for covered, number in self._replays.starts(at) if number not in rotten), 0)
        return all(term.version >= first and term.version not in damaged for term in at.terms[covered:])


def _unchecked(title: str, broken: int) -> Checked:
    return Checked(title, note=f"not checked: it rests on {f'version {broken}' if broken else 'the base'}")
