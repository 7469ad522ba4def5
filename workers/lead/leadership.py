"""The lead of one model: a lease in Redis, the lead of the edit log, and a thread that renews the lease."""

from __future__ import annotations

import logging
import threading
from typing import Protocol, Self

from redis.exceptions import RedisError

from app.domain.errors import PalimpsestError, StaleEpoch
from workers.lead.lease import Lease

logger = logging.getLogger(__name__)

RENEWALS = 3
"""So often a lease is renewed before it ends."""


class Leader(Protocol):
    """A host that can lead a model's edit log."""

    @property
    def name(self) -> str:
        """The model's name."""

    def lead(self, *, leased: bool, take_over: bool) -> None:
        """Lead the log, and be at its head."""

    def check_lead(self) -> None:
        """Return if nobody has taken over."""

    def close(self) -> None:
        """Give up the lead of the log."""


class Leadership:
    """Leads for as long as the context lasts, or until another takes over; then ``check`` says so.

    Raises:
        LogLocked: another leader has this log. DamagedVersion: the log cannot be led before it is mended.
    """

    def __init__(self, leader: Leader, lease: Lease, *, take_over: bool) -> None:
        """``take_over``: this worker has the lease already, and takes the lead from the leader before it.

        Otherwise the log's lock decides whether the lead is free, and the lease is taken after it.
        """
        self.lease = lease
        self._leader, self._take_over = leader, take_over
        self._lost: PalimpsestError | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Self:
        if not self._take_over:
            self._leader.lead(leased=True, take_over=False)
            try:
                self.lease.seize()
            except RedisError as error:
                logger.warning("lease not taken yet: %s", error, extra={"model": self._leader.name})
        self._thread.start()
        try:
            if self._take_over:
                self._leader.lead(leased=True, take_over=True)
        except BaseException:  # clean up and re-raise, whatever it is: without the lead no thread may renew the lease
            self.__exit__()
            raise
        logger.info("leading", extra={"model": self._leader.name})
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()
        self._leader.close()
        try:
            self.lease.release()
        except RedisError as error:
            logger.warning("lease not given back, it will end: %s", error, extra={"model": self._leader.name})

    def lost(self) -> PalimpsestError | None:
        """How the lead was lost, as far as this worker has heard."""
        return self._lost

    def lose(self, error: PalimpsestError) -> None:
        """Note that the lead is lost, as the lease or the log has told; the first ``error`` counts."""
        self._lost = self._lost or error

    def check(self) -> None:
        """Return if this worker leads, as far as it has heard.

        Raises:
            PalimpsestError: how the lead was lost; StaleEpoch: another has the lease.
        """
        if self._lost is not None:
            raise self._lost

    def confirm(self) -> None:
        """Return if this worker leads according to the log, or if the log cannot be read.

        Raises:
            StaleEpoch: another has taken over.
        """
        self.check()
        try:
            self._leader.check_lead()
        except StaleEpoch:
            raise
        except (PalimpsestError, OSError) as error:  # a damaged log says nothing about who leads
            logger.warning("lead not confirmed: %s", error, extra={"model": self._leader.name})

    def renew(self) -> None:
        """Renew the lease now, and so learn whether it is lost. May raise ``RedisError``."""
        if not self.lease.hold():
            self.lose(StaleEpoch(f"worker {self.lease.holder()} has taken over {self._leader.name}"))

    def _renew(self) -> None:
        while self._lost is None and not self._closed.wait(self.lease.seconds / RENEWALS):
            try:
                self.renew()
            except RedisError as error:  # nobody can take over without Redis
                logger.warning("lease not renewed: %s", error, extra={"model": self._leader.name})
