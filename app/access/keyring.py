"""The keys as the front end knows them: read again every second, since other processes make and revoke them."""

from __future__ import annotations

import hmac
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from anyio import Lock
from anyio.to_thread import run_sync

from app.access.caller import Caller
from app.access.keys import KeyFolder, KeyRecord
from app.domain.digests import sha256
from app.domain.errors import Unauthenticated, Unavailable

logger = logging.getLogger(__name__)

FRESH_S = 1.0
"""How long the keys are taken to be as they were read: a revoked one is good for that much longer."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys, as they were read at one moment.

    damaged: names of files that are no key's, as damaged ones are; they open nothing.
    """

    keys: tuple[KeyRecord, ...]
    damaged: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: KeyFolder) -> KeyRing:
        """The keys as they are now.

        Raises:
            OSError: they cannot be read.
        """
        names, keys = folder.names(), tuple(folder.read())
        return cls(keys, tuple(sorted({*names} - {key.name for key in keys})))

    @property
    def any(self) -> bool:
        """Whether a key was ever made, be it revoked, expired or damaged by now: then nobody gets in without one."""
        return bool(self.keys or self.damaged)

    def caller(self, key: bytes) -> Caller:
        """Whose key this is. All keys are compared, each in constant time, so that how long it takes tells nothing.

        Raises:
            Unauthenticated: nobody's, or it has expired or was revoked.
        """
        presented, found = sha256(key), None
        for each in self.keys:
            if hmac.compare_digest(each.sha256, presented):
                found = each
        if found is None:
            raise Unauthenticated("No such key is known here.")
        if (state := found.state(datetime.now(UTC))) != "valid":
            raise Unauthenticated(f"This key is {state}.")
        return found.caller


class LiveKeys:
    """The keys at most a second ago. For one event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = KeyFolder(folder)
        self._read_at = float("-inf")
        self._ring = KeyRing(())
        self._lock = Lock()

    async def now(self) -> KeyRing:
        """The keys.

        Raises:
            Unavailable: they cannot be read. Nobody gets in then, not even with a key that was good a moment ago.
        """
        if self._stale():
            async with self._lock:
                if self._stale():
                    started = time.monotonic()
                    self._ring = await run_sync(self._read)
                    self._read_at = started
        return self._ring

    def _stale(self) -> bool:
        return time.monotonic() - self._read_at >= FRESH_S

    def _read(self) -> KeyRing:
        try:
            ring = KeyRing.read(self._folder)
        except OSError as error:
            logger.error("the keys cannot be read: %s", error)  # noqa: TRY400 - no traceback: it is the disk
            raise Unavailable("The keys cannot be read, so nobody is let in.") from error
        if ring.damaged and ring.damaged != self._ring.damaged:
            logger.error("no keys, though named like ones, and good for nothing: %s", ring.damaged)
        return ring
