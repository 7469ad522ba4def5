"""The versions of a log that were asked for last, so that what one is made of is worked out once."""

from __future__ import annotations

from threading import Lock

from app.domain.history.history import History
from app.domain.history.logged_version import LoggedVersion
from app.domain.log.chain import Chain

KEPT = 2
"""How many versions are remembered: the one that a rollback goes to, and the head."""


class RecentVersions:
    """The versions by digest, which depends on all versions before. Safe in several threads."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._lock = Lock()
        self._kept: dict[str, LoggedVersion] = {}

    def at(self, version: int) -> LoggedVersion:
        """A committed version, or the base, 0.

        Raises:
            UnknownVersion: it has been withdrawn.
            DamagedVersion: a manifest does not have the bytes that were committed.
        """
        if version == 0:
            return LoggedVersion(History(()), version)
        digest = self._chain.digest(version)
        with self._lock:
            found = self._kept.pop(digest, None)
            if found is not None:
                self._kept[digest] = found  # the latest stands last
                return found
        made = LoggedVersion(History(self._chain.manifests(version)), version)
        if self._chain.digest(version) == digest:  # else another was committed in the place of one that was withdrawn
            self._keep(digest, made)
        return made

    def _keep(self, digest: str, made: LoggedVersion) -> None:
        with self._lock:
            self._kept[digest] = made
            if len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
