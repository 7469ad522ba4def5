"""Data files as people have them: their formats, and what an import says of one."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from app.domain.contract.edits import Fact
from app.domain.contract.jobs import Job, Problem
from app.domain.contract.values import Reply


class ImportFormat(StrEnum):
    """The form of a data file. ``docs/client.md`` says what is read of each."""

    AUTO = "auto"
    FACTS = "facts"
    COUNTERFACT = "counterfact"
    EASYEDIT = "easyedit"
    KNOWEDIT = "knowedit"
    MQUAKE = "mquake"
    RIPPLEEDITS = "rippleedits"
    UNKE = "unke"
    WIKIBIGEDIT = "wikibigedit"
    ZSRE = "zsre"
    CSV = "csv"
    TSV = "tsv"


class UnusableRecord(Reply):
    """One record of a file that cannot become a fact, and why."""

    record: int = Field(description="Its place among the records of the file, from 0.")
    line: int | None = Field(None, description="Where it begins, from 1; null in a file that is one JSON document.")
    code: str
    detail: str
    field: str | None = None
    value: Any = None


class ImportReport(Reply):
    """What came of a data file: what could be used, what not, and why."""

    model: str | None = Field(None, description="Null where the file was looked at without a service.")
    format: ImportFormat
    dry_run: bool
    checked: bool = Field(
        description="Whether a worker looked at every fact: at its tokens, and whether they fit the model's window."
    )
    records: int
    usable: int = Field(
        description="Facts that records can become, those beyond `limit` included: one a record, in most formats."
    )
    unusable: int
    reasons: dict[str, int] = Field(description="How many records cannot be used, by the reason's code.")
    first_unusable: tuple[UnusableRecord, ...] = Field(description="The first of them; `unusable` counts all.")
    beyond_limit: int = Field(0, description="Usable records that `limit` leaves out.")
    sample: tuple[Fact, ...] = Field((), description="The first facts, as they are written.")
    queued: int = Field(0, description="Facts in the jobs below.")
    jobs: tuple[Job, ...] = Field((), description="In the order in which they were queued, a batch each.")
    stopped: Problem | None = Field(
        None,
        description="Why the rest was not queued, after some was. Sent again with the same Idempotency-Key, the import "
        "goes on where it stopped.",
    )
