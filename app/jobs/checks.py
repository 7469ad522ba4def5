"""What is checked before a request is accepted, by its kind. A new kind of job needs a line in ``CHECKS``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from app.domain.contract import Drop, EditBatch, Export, ExportFormat, JobKind, Publish, Revert, Rollback
from app.domain.errors import DamagedVersion, NoGgufFile
from app.domain.log.reader import LogReader
from app.fleet import Fleet

Check = Callable[[Fleet, LogReader, Any], None]
"""Takes the live workers, the model's edit log and the request; returns if it can be done, raises why it cannot."""


def _edit(fleet: Fleet, log: LogReader, batch: EditBatch) -> None:
    """A worker looks at every fact: at its tokens, the window, the layers."""
    fleet.check(log.model, batch)


def _rollback(_: Fleet, log: LogReader, rollback: Rollback) -> None:
    log.check_rollback(rollback.to)


def _revert(_: Fleet, log: LogReader, revert: Revert) -> None:
    log.check_revert(revert.facts)


def _export(fleet: Fleet, log: LogReader, export: Export) -> None:
    """An export needs the same tensors as a rollback to its version does; a GGUF file is a copy of the model's own."""
    cards = fleet.workers(log.model) if export.format is ExportFormat.GGUF else []
    if cards and all(card.source_note is None for card in cards):
        raise NoGgufFile(NoGgufFile.never, field="format", value=export.format)
    if export.version is not None:
        log.check_rollback(export.version)


def _publish(_: Fleet, log: LogReader, publish: Publish) -> None:
    log.proposals.get(publish.publish)


def _drop(_: Fleet, log: LogReader, drop: Drop) -> None:
    """One that is damaged can be dropped as well."""
    with suppress(DamagedVersion):
        log.proposals.get(drop.drop)


CHECKS: Mapping[JobKind, Check] = MappingProxyType(
    {
        JobKind.EDIT: _edit,
        JobKind.ROLLBACK: _rollback,
        JobKind.REVERT: _revert,
        JobKind.EXPORT: _export,
        JobKind.PUBLISH: _publish,
        JobKind.DROP: _drop,
    }
)
