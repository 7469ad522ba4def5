"""Reading an edit log: every manifest is verified, and the chain of digests with it, before it is used."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from app.domain import durable_files
from app.domain.contract import FactInForce, Name
from app.domain.errors import DamagedVersion, NotFound, UnknownModel, UnknownVersion
from app.domain.manifest import MANIFEST, Base, LoggedFact, Manifest, Record

BASE = "base.json"
VERSIONS = "versions"
RecordT = TypeVar("RecordT", bound=Record)

Signature = tuple[int, int, int]
"""Of a file: inode, bytes, time of the last change in nanoseconds."""


@dataclass(frozen=True, slots=True)
class _Page:
    """A verified manifest; good for as long as its file has this signature."""

    signature: Signature
    sha256: str
    manifest: Manifest


class LogReader:
    """What an edit log tells. Takes no lock; safe in several threads; remembers what it has verified.

    Raises:
        UnknownModel: ``model`` is not a name that a model can have; it is never taken for a path.
    """

    def __init__(self, root: Path, model: str) -> None:
        if not _is_name(model):
            raise UnknownModel("a model's name has letters, digits, '.', '_' and '-' only", value=model)
        self.model = model
        self._dir = root / self.model
        self._base_signature: Signature | None = None
        self._pages: dict[int, _Page] = {}

    @staticmethod
    def models(root: Path) -> list[str]:
        """Names of the models that have a log under ``root``, sorted."""
        names = (base.parent.name for base in root.glob(f"*/{BASE}"))
        return sorted(name for name in names if _is_name(name))

    def exists(self) -> bool:
        """Whether this model has a log."""
        return (self._dir / BASE).is_file()

    def base(self) -> Base:
        """Version 0.

        Raises:
            UnknownModel: there is no log.
            DamagedVersion: ``base.json`` does not have the bytes that were written.
        """
        if not self.exists():
            raise UnknownModel(f"there is no edit log of {self.model}", value=self.model)
        return _parsed(Base, self._dir / BASE, durable_files.read_checked(self._dir / BASE))

    def head(self) -> int:
        """The newest version; 0 is the base model."""
        signature = _signature(self._dir / BASE) if self.exists() else None
        if signature != self._base_signature:  # a log was put here, or in another's place
            self._pages.clear()
            self._base_signature = signature
        versions = self._dir / VERSIONS
        names = os.listdir(versions) if versions.is_dir() else ()  # noqa: PTH208 - names are all we need
        return max((int(name) for name in names if re.fullmatch(r"[0-9]{8}", name)), default=0)

    def manifest(self, version: int) -> Manifest:
        """One committed version; the base, 0, has no manifest.

        Raises:
            UnknownVersion: there is none of that number.
            DamagedVersion: its manifest, or its parent's, does not have the bytes that were committed.
        """
        if not 1 <= version <= self.head():
            raise UnknownVersion(f"{self.model} has no version {version}", value=version)
        return self._verified(version)

    def manifests(self) -> list[Manifest]:
        """All committed versions, oldest first.

        Raises:
            DamagedVersion: a manifest does not have the bytes that were committed.
        """
        return [self._verified(version) for version in range(1, self.head() + 1)]

    def file(self, version: int, name: str) -> Path:
        """Where a version's file stands, after a check of all its bytes.

        Raises:
            UnknownVersion: there is no such version.
            NotFound: the version has no file of that name.
            DamagedVersion: the file, which is named, does not have the bytes that were committed.
        """
        record = self.manifest(version).files.get(name)
        if record is None:
            raise NotFound(f"version {version} of {self.model} has no such file", value=name)
        path = self._version_dir(version) / name
        durable_files.check_file(path, record.sha256, record.size)
        return path

    def find_job(self, job_id: str) -> Manifest | None:
        """The version that this job committed, if it did.

        Raises:
            DamagedVersion: a manifest does not have the bytes that were committed.
        """
        for version in range(self.head(), 0, -1):
            page = self._pages.get(version) or self._page(version)
            if page.manifest.job == job_id:
                return self._verified(version)
        return None

    def facts_in_force(self, version: int | None = None) -> tuple[FactInForce, ...]:
        """The facts that hold at ``version`` (the head if None), in the order in which they were written.

        A later fact supersedes an earlier one of the same subject and prompt, case and spacing aside.

        Raises:
            UnknownVersion: there is no such version.
            DamagedVersion: a manifest does not have the bytes that were committed.
        """
        head = self.head()
        last = head if version is None else version
        if not 0 <= last <= head:
            raise UnknownVersion(f"{self.model} has no version {last}", value=last)
        in_force: dict[tuple[str, str], FactInForce] = {}
        for manifest in map(self._verified, range(1, last + 1)):
            for fact in manifest.facts:
                in_force.pop(fact.place, None)
                in_force[fact.place] = _in_force(fact, manifest)
        return tuple(in_force.values())

    def _version_dir(self, version: int) -> Path:
        return self._dir / VERSIONS / f"{version:08d}"

    def _verified(self, version: int) -> Manifest:
        """The manifest, whose parent's digest is the one that it names."""
        page = self._page(version)
        if page.manifest.parent != self._digest(version - 1):
            path = self._version_dir(version) / MANIFEST
            raise DamagedVersion(f"{path} does not follow from version {version - 1} as it is", value=str(path))
        return page.manifest

    def _digest(self, version: int) -> str:
        """What a child of ``version`` names as its parent."""
        if version == 0:
            return durable_files.sha256(durable_files.read_checked(self._dir / BASE))
        return self._page(version).sha256

    def _page(self, version: int) -> _Page:
        path = self._version_dir(version) / MANIFEST
        known = self._pages.get(version)
        try:
            signature = _signature(path)
        except OSError as error:
            raise DamagedVersion(f"{path} cannot be read: {error.strerror}", value=str(path)) from error
        if known is not None and known.signature == signature:
            return known
        data = durable_files.read_checked(path)
        manifest = _parsed(Manifest, path, data)
        if manifest.version != version:
            raise DamagedVersion(f"{path} is that of version {manifest.version}", value=str(path))
        page = _Page(signature, durable_files.sha256(data), manifest)
        self._pages[version] = page
        return page


def _is_name(text: str) -> bool:
    try:
        TypeAdapter(Name).validate_python(text)
    except ValidationError:
        return False
    return True


def _parsed(kind: type[RecordT], path: Path, data: bytes) -> RecordT:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        detail = f"{path} is no {kind.__name__.lower()} that this release knows"
        raise DamagedVersion(detail, value=str(path)) from error


def _signature(path: Path) -> Signature:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _in_force(fact: LoggedFact, manifest: Manifest) -> FactInForce:
    return FactInForce(
        subject=fact.subject,
        prompt=fact.prompt,
        object=fact.object,
        previous=fact.previous,
        id=fact.id,
        job=manifest.job or "",
        version=manifest.version,
    )
