"""API keys on disk: a file a key, ``<folder>/<name>.json``, which has the key's SHA-256 and never the key.

A key is 256 random bits, so that a fast hash is the right one: nobody can try out enough keys to find one that fits.
What slow, salted hashes are for is passwords, which people choose; here they would cost a tenth of a second a request,
and whoever sends wrong keys would decide how many.

A revoked key's file stays. So a name means one key for ever in the manifests that bear it; and a service whose last key
was revoked is shut, and not open as one is that never had any.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from app.access.caller import Caller, Scope
from app.domain.contract import Name, Record
from app.domain.digests import sha256
from app.domain.errors import Conflict, NotFound
from app.domain.storage import durable_files

PREFIX = "palimpsest_"
"""How a key begins, so that scanners of code and logs can tell one."""
RANDOM_BYTES = 32
SUFFIX = ".json"
LOCK = "lock"

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class KeyRecord(Record):
    """All that is known of one key."""

    name: Name
    sha256: Digest = Field(description="Of the key, in hexadecimal.")
    scopes: tuple[Scope, ...]
    models: tuple[Name, ...] | None = Field(None, description="Those that the key is good for; None: all.")
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None

    @property
    def caller(self) -> Caller:
        """Who has the key."""
        return Caller(self.name, frozenset(self.scopes), None if self.models is None else frozenset(self.models))

    def state(self, now: datetime) -> str:
        """Whether the key is valid, or why not: in one word."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


class KeyFolder:
    """The folder of all keys. Several processes may read and write it at the same time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """The names of all keys that were ever made here, sorted, whatever state they are in.

        Raises:
            OSError: the folder is there and cannot be read.
        """
        try:
            found = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX) and name[0] != ".")

    def read(self) -> list[KeyRecord]:
        """All keys that can be read, by name. What is no key's file opens nothing.

        Raises:
            OSError: the folder, or a file in it, is there and cannot be read.
        """
        return list(filter(None, (self._record(name) for name in self.names())))

    def create(
        self, name: str, scopes: Iterable[Scope], models: Iterable[str] | None = None, expires: datetime | None = None
    ) -> str:
        """Make a key and return it; it is kept nowhere.

        Raises:
            pydantic.ValidationError: a name is none.
            Conflict: there is or was a key of that name.
            OSError: it could not be written down, and is none.
        """
        key = f"{PREFIX}{secrets.token_urlsafe(RANDOM_BYTES)}"
        record = KeyRecord(
            name=name,
            sha256=sha256(key.encode()),
            scopes=tuple(dict.fromkeys(scopes)),
            models=None if models is None else tuple(dict.fromkeys(models)),
            created=datetime.now(UTC),
            expires=expires,
        )
        durable_files.make_dir(self._folder)
        with durable_files.exclusive(self._folder / LOCK, wait=True):
            if name in self.names():
                raise Conflict(f"There is or was a key {name}; a name stands for one key for ever.", value=name)
            self._write(record)
        return key

    def revoke(self, name: str) -> None:
        """Make a key good for nothing, from within a second on.

        Raises:
            NotFound: there is none of that name.
            Conflict: its file is damaged: it opens nothing, and can be removed by hand.
            OSError: it could not be written down, and the key may still be good.
        """
        if name not in self.names():
            raise NotFound(f"There is no key {name}.", value=name)
        with durable_files.exclusive(self._folder / LOCK, wait=True):
            record = self._record(name)
            if record is None:
                raise Conflict(f"The file of key {name} cannot be read; the key opens nothing.", value=name)
            if record.revoked is None:
                self._write(record.model_copy(update={"revoked": datetime.now(UTC)}))

    def _write(self, record: KeyRecord) -> None:
        durable_files.replace_file(self._path(record.name), record.model_dump_json(indent=2).encode())

    def _record(self, name: str) -> KeyRecord | None:
        try:
            record = KeyRecord.model_validate_json(self._path(name).read_bytes())
        except (FileNotFoundError, ValidationError):  # it has just been removed, or is damaged
            return None
        return record if record.name == name else None  # two files with one name would be two keys that look alike

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{SUFFIX}"
