"""An edit log that a process may lead: who may write to it, and how an entry gets there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pydantic import ValidationError

from app.domain.contract import Record
from app.domain.entries import Entry
from app.domain.errors import JobFailed, StaleEpoch
from app.domain.log.reader import LogReader


class LedLog(LogReader):
    """The log of one model, with what all that is written to it has in common."""

    @property
    def lockable(self) -> bool:
        """Whether ``lead`` alone keeps other leaders out; if not, they need a lease to agree by."""
        return self._storage.lockable

    @contextmanager
    def lead(self, minimum: int = 1, *, leased: bool = False, take_over: bool = False) -> Iterator[int]:
        """Be the one that commits, until the context or the process ends, or another takes over.

        Clears away what earlier leaders left unfinished. Once the block has begun, no earlier leader can commit; only
        in an object store one that had already checked its epoch still may, once.

        Args:
            minimum: the least epoch to take, for instance from a counter in Redis.
            leased: the caller has the lease by which the leaders of this log agree.
            take_over: take the lead from a leased leader, whose lease has ended, also if its process still lives.

        Yields:
            This leader's epoch: newer than that of any leader before, and durable.

        Raises:
            LogLocked: another leader holds the log; says which, as far as that is known.
            DamagedVersion: the last epoch cannot be told.
            UnsupportedStorage: the storage cannot keep two writers apart.
        """
        with self._storage.leading(leased=leased, take_over=take_over):
            epoch = self._storage.take_epoch(max(minimum, self._last_epoch() + 1))
            self._storage.sweep()
            yield epoch

    def check_lead(self, epoch: int) -> None:
        """Return if no newer leader than that of this epoch has taken over.

        Raises:
            StaleEpoch: one has. DamagedVersion: that cannot be told.
        """
        if epoch < (newest := self._last_epoch()):
            detail = f"a leader of epoch {newest} has taken over {self.model}"
            raise StaleEpoch(detail, field="epoch", value=epoch)

    def _publish(self, entry: Entry, page: Record, files: Mapping[str, bytes], epoch: int | None = None) -> None:
        """Make an entry; where an epoch is given, only if it is still the newest just before the last step.

        Raises:
            FileExistsError: it is there.
            JobFailed: it could not be written, or its page would not read back, as a report with a NaN would not.
        """
        document = self._document(entry, page)

        def permitted() -> None:
            if epoch is not None:
                self.check_lead(epoch)

        try:
            self._storage.publish(entry, document, files, permitted)
        except FileExistsError:
            raise
        except OSError as error:
            permitted()  # raises StaleEpoch if the next leader swept it away
            shown = self._storage.shown(entry.folder)
            reason = error.strerror or type(error).__name__
            raise JobFailed(f"{shown} could not be written to the edit log: {reason}", value=shown) from error

    def _document(self, entry: Entry, page: Record) -> bytes:
        data = page.model_dump_json(indent=2).encode()
        try:
            type(page).model_validate_json(data)
        except ValidationError as error:
            raise JobFailed(f"{self._storage.shown(entry.page)} would not read back") from error
        return data

    def _last_epoch(self) -> int:
        """The newest epoch of any leader, 0 if there was none: the newest manifest's, or a later one in the storage."""
        newest = next(self.newest_first(), None)
        return max(newest.epoch if newest else 0, self._storage.last_epoch())
