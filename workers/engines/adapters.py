"""The versions' adapters as folders that servers read: written whole, checked before each use, removed when done."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import save_file

from app.domain.log.reader import LogReader
from app.domain.storage import durable_files
from workers.engines.factors import Changes, Factors, factors_of, of_one_rank
from workers.exports.adapter import ADAPTER_FILE, CONFIG_FILE, PREFIX, AdapterConfig

logger = logging.getLogger(__name__)

NOTE_FILE = "palimpsest.json"


def served_name(model: str, version: int) -> str:
    """What a version is called on every server: one name a version, never given to another."""
    return f"{model}@{version}"


def served_version(model: str, name: str) -> int | None:
    """The version that a name on a server stands for; None of a name that is none of ours."""
    found = re.fullmatch(rf"{re.escape(model)}@([1-9]\d*)", name)
    return None if found is None else int(found[1])


def folder_name(model: str, version: int, most_rank: int | None) -> str:
    """The folder of a version's adapter; one that may be cut has the rank in its name."""
    return served_name(model, version) + ("" if most_rank is None else f"-rank{most_rank}")


def cut_to(path: str) -> int | None:
    """The rank in the name of a folder that a server has loaded; None without one."""
    found = re.search(r"@\d+-rank(\d+)/?$", path)
    return None if found is None else int(found[1])


class AdapterNote(BaseModel):
    """What a folder says of itself.

    manifest: digest of the version's manifest, by which a log that was begun anew is told.
    rank: the adapter's; needed: what the change has; left_out: of the worst layer's change, relative to it.
    empty: the version changes nothing. files: SHA-256 by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    version: int
    manifest: str
    rank: int
    needed: int
    left_out: float
    empty: bool
    files: dict[str, str]

    @property
    def cut(self) -> bool:
        """Whether the change has a higher rank than the adapter."""
        return self.needed > self.rank


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter on disk, as checked just now. ``path``: where the servers see it."""

    path: str
    note: AdapterNote


class Adapters:
    """One model's adapters in one folder. Any thread may ask."""

    def __init__(
        self, log: LogReader, folder: Path, seen_at: str | None = None, compacted: Changes | None = None
    ) -> None:
        """``seen_at``: the folder as the servers see it, if that is another path. ``compacted``: as ``factors_of``."""
        self._log, self._folder, self._compacted = log, folder, compacted
        self._seen_at = str(folder.resolve()) if seen_at is None else seen_at.rstrip("/")
        self._lock = threading.Lock()
        durable_files.make_dir(folder)

    def of(self, version: int, most_rank: int | None) -> Adapter:
        """The version's adapter of a rank of at most ``most_rank``; written if it is not there, or spoiled.

        Raises:
            UnknownVersion, CompactedVersion, DamagedVersion: it cannot be put together from the log.
            OSError: it cannot be written.
        """
        name = folder_name(self._log.model, version, most_rank)
        with self._lock:
            folder = self._folder / name
            note = self._whole(folder, version)
            if note is None:
                durable_files.discard_dir(folder)
                note = self._write(folder, version, most_rank)
            return Adapter(f"{self._seen_at}/{name}", note)

    def discard(self, version: int) -> None:
        """Have a version's adapters written anew, when they are asked for again."""
        with self._lock:
            self._discard(lambda found: found == version)

    def clean(self, keep: frozenset[int]) -> None:
        """Remove other versions' adapters of this model, and what a killed follower left unfinished."""
        with self._lock:
            durable_files.sweep(self._folder)
            self._discard(lambda found: found not in keep)

    def _discard(self, unwanted: Callable[[int], bool]) -> None:
        for folder in sorted(self._folder.iterdir()):
            version = served_version(self._log.model, folder.name.partition("-rank")[0])
            if version is not None and unwanted(version) and not folder.is_symlink():
                durable_files.discard_dir(folder)
                logger.info("adapter %s removed", folder.name)

    def _whole(self, folder: Path, version: int) -> AdapterNote | None:
        """The note of a folder that is this version's, and has the bytes that were written; else None."""
        try:
            note = AdapterNote.model_validate_json((folder / NOTE_FILE).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            note = None
        if note is not None and note.manifest == self._log.digest(version) and note.files == _digests(folder):
            return note
        logger.warning("adapter %s is spoiled, or of another log: it is written anew", folder.name)
        return None

    def _write(self, folder: Path, version: int, most_rank: int | None) -> AdapterNote:
        own = factors_of(self._log, version, most_rank, self._compacted)
        alike = of_one_rank(own)
        base = self._log.base()
        with durable_files.building_dir(folder) as unfinished:
            _write_peft(unfinished, alike, base.modules, base.source, base.revision)
            note = AdapterNote(
                model=self._log.model,
                version=version,
                manifest=self._log.digest(version),
                rank=max(each.rank for each in alike.values()),
                needed=max(each.needed for each in own.values()),
                left_out=max(each.left_out for each in own.values()),
                empty=all(each.needed == 0 for each in own.values()),
                files=_digests(unfinished),
            )
            (unfinished / NOTE_FILE).write_text(note.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return note


def _write_peft(
    folder: Path, factors: Mapping[int, Factors], modules: Mapping[int, str], source: str, revision: str | None
) -> None:
    """Two files by PEFT's names. ``fan_in_fan_out`` is PEFT's own to find: our factors do not depend on it."""
    [rank] = {each.rank for each in factors.values()}
    tensors = {
        f"{PREFIX}{modules[layer]}.lora_{side}.weight": part
        for layer, each in factors.items()
        for side, part in (("A", each.right), ("B", each.left))
    }
    save_file(tensors, folder / ADAPTER_FILE, metadata={"format": "pt"})
    config = AdapterConfig(
        base_model_name_or_path=source,
        revision=revision,
        r=rank,
        lora_alpha=rank,
        target_modules=tuple(modules[layer] for layer in factors),
        fan_in_fan_out=False,
    )
    (folder / CONFIG_FILE).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for name in (ADAPTER_FILE, CONFIG_FILE):
        path = folder / name
        if path.is_file():
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
