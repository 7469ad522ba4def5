"""Aliases as callers see and move them. A move is decided here; a worker writes it, since the log is the workers'."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import dropwhile, islice

from app.access.caller import Caller
from app.domain.contract import Alias, AliasList, AliasMove
from app.domain.errors import (
    CompactedVersion,
    Conflict,
    PreconditionFailed,
    PreconditionRequired,
    RequestError,
    UnknownAlias,
    UnknownVersion,
    UnprovenVersion,
)
from app.domain.log.pages import MovePage
from app.domain.log.reader import LogReader
from app.fleet import Fleet
from app.jobs.entity_tags import IF_MATCH, entity_tag, expected_version
from app.promotion import Promotion

logger = logging.getLogger(__name__)

IF_NONE_MATCH = "If-None-Match"
MOVES_TOLD = 20
ATTEMPTS = 5
"""How often a move is tried while others move the alias, and the caller's conditions still hold."""


@dataclass(frozen=True, slots=True)
class MoveConditions:
    """What a move may depend on: ``If-Match``, the version that the alias points to; ``If-None-Match: *``, no alias."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, name: str, version: int | None) -> None:
        """Return if an alias that points to ``version`` (None: to none) may be moved. Who moves one says from where.

        Raises:
            PreconditionFailed: it points elsewhere, or is there and should not be, or the other way round.
            PreconditionRequired: it is there, and nothing says from where it is to be moved.
            RequestError: a header is of the wrong form.
        """
        if self.if_none_match not in (None, "*"):
            raise RequestError(f"{IF_NONE_MATCH} takes * alone.", field=IF_NONE_MATCH, value=self.if_none_match)
        if version is None:
            if self.if_match is not None:
                raise PreconditionFailed(f"There is no {name}.", field=IF_MATCH, value=self.if_match)
            return
        if self.if_none_match is not None:
            raise PreconditionFailed(f"{name} is at version {version}.", field=IF_NONE_MATCH, value=self.if_none_match)
        if self.if_match is None:
            detail = f"{name} is at version {version}; to move it from there, send {IF_MATCH}: {entity_tag(version)}."
            raise PreconditionRequired(detail, field=IF_MATCH)
        expected_version(self.if_match, name, version)


class Aliases:
    """The aliases of one model, as one caller moves them."""

    def __init__(self, log: LogReader, fleet: Fleet, promotion: Promotion, caller: Caller) -> None:
        self._log, self._fleet, self._promotion, self._caller = log, fleet, promotion, caller

    def listed(self) -> AliasList:
        """All that point to a version, by name, without their moves."""
        found = map(self._log.aliases.last, self._log.aliases.names())
        told = (self._told(last, last.version) for last in found if last is not None and last.version is not None)
        return AliasList(model=self._log.model, aliases=tuple(told))

    def shown(self, name: str) -> Alias:
        """One of them, with its last moves.

        Raises:
            UnknownAlias: there is none of that name.
        """
        last = self._log.aliases.last(name)
        if last is None or last.version is None:
            raise self._unknown(name)
        return self._told(last, last.version, self._moves_to(last))

    def move(self, name: str, version: int, conditions: MoveConditions) -> tuple[Alias, bool]:
        """Have an alias point to a version; returns it, and whether it pointed nowhere before.

        Raises:
            PreconditionFailed, PreconditionRequired, RequestError: as ``MoveConditions.check`` does.
            UnknownVersion, CompactedVersion, UnprovenVersion: as ``check_target`` does.
            Conflict: others have moved it again and again meanwhile.
            ModelUnavailable: no worker is there to write it down. Unavailable: it could not be written.
        """
        self.check_target(name, version)
        before, move = self._moved(name, version, conditions)
        return self._told(move, version, self._moves_to(move)), before is None

    def remove(self, name: str, conditions: MoveConditions) -> AliasMove:
        """Have an alias point nowhere; its moves stay, and a new one of its name goes on with them.

        Raises:
            UnknownAlias: there is none of that name. All else as for ``move``.
        """
        _, move = self._moved(name, None, conditions)
        return _view(move)

    def check_target(self, name: str, version: int) -> None:
        """Return if an alias may point to a version. Whatever else shall be true of one before is asked here.

        To where it has pointed before it may always go back: no server that is down or behind keeps it from that.

        Raises:
            UnknownVersion: there is no such version.
            CompactedVersion: its tensors were removed, so that it cannot be asked.
            UnprovenVersion: it has not pointed there yet, and too few inference servers have proven the version.
        """
        try:
            self._log.check_rollback(version)
        except (UnknownVersion, CompactedVersion) as error:
            raise error.at("version") from None
        try:
            self._promotion.check(self._log.model, version)
        except UnprovenVersion:
            if all(page.version != version for page in self._log.aliases.newest_first(name)):
                raise

    def _moved(self, name: str, version: int | None, conditions: MoveConditions) -> tuple[int | None, MovePage]:
        """Move an alias to a version, or None; returns where it pointed before, and the move by which it is there."""
        for _ in range(ATTEMPTS):
            last = self._log.aliases.last(name)
            before = None if last is None else last.version
            if version is None and before is None:
                raise self._unknown(name)
            conditions.check(f"{self._log.model}@{name}", before)
            if last is not None and before == version:
                return before, last
            number = 1 if last is None else last.number + 1
            move = MovePage(alias=name, number=number, version=version, by=self._caller.by, moved=datetime.now(UTC))
            if self._fleet.move_alias(self._log.model, move) == move:
                logger.info("%s: %s to %s, by %s", name, before, version, move.by, extra={"model": self._log.model})
                return before, move
        raise Conflict(f"{self._log.model}@{name} is being moved by others.", field="alias", value=name)

    def _moves_to(self, last: MovePage) -> tuple[AliasMove, ...]:
        """This move and some before it, newest first."""
        before = dropwhile(lambda page: page.number > last.number, self._log.aliases.newest_first(last.alias))
        return tuple(map(_view, islice(before, MOVES_TOLD)))

    def _told(self, last: MovePage, version: int, moves: tuple[AliasMove, ...] = ()) -> Alias:
        model, name = self._log.model, last.alias
        return Alias(
            name=name, id=f"{model}@{name}", model=model, version=version, by=last.by, moved=last.moved, moves=moves
        )

    def _unknown(self, name: str) -> UnknownAlias:
        return UnknownAlias(f"{self._log.model} has no alias {name}.", field="alias", value=name)


def _view(move: MovePage) -> AliasMove:
    return AliasMove(number=move.number, version=move.version, by=move.by, moved=move.moved)
