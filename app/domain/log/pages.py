"""What the log says of its snapshots, and of having been compacted."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from app.domain.contract import Record
from app.domain.manifest import Digest, FileName, FileRecord


class SnapshotPage(Record):
    """A committed snapshot. It belongs to the history whose newest manifest has the digest ``manifest``."""

    version: Annotated[int, Field(ge=1)]
    manifest: Digest
    created: AwareDatetime
    files: dict[FileName, FileRecord]


class CompactionPage(Record):
    """Says that the tensor files of all versions before one were, or are to be, removed."""

    before: Annotated[int, Field(ge=1)]
    created: AwareDatetime
