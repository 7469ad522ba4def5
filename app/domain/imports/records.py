"""What a reader finds in a file: records, and those of them that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.contract.imports import UnusableRecord
from app.domain.errors import PalimpsestError
from app.domain.problems import json_safe


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its place in the file from 0, the line where it begins from 1 if it has one, and what it holds."""

    index: int
    line: int | None
    fields: Mapping[str, Any]


class Unusable(Exception):
    """A record cannot become a fact.

    Args:
        code: for machines; of the error that the service would answer with, where it has one.
        detail: one sentence for a person.
        field: of the record, or of the fact that it would become.
    """

    def __init__(self, code: str, detail: str, field: str | None = None, value: object = None) -> None:
        super().__init__(detail)
        self.code, self.detail, self.field, self.value = code, detail, field, value

    @classmethod
    def of(cls, error: PalimpsestError) -> Unusable:
        """For the reason of an error of ours."""
        return cls(error.code, error.detail, error.field, error.value)

    def at(self, index: int, line: int | None) -> UnusableRecord:
        """What is reported of the record with this index."""
        return UnusableRecord(
            record=index, line=line, code=self.code, detail=self.detail, field=self.field, value=json_safe(self.value)
        )


MISSING = "missing_field"
"""Code of a record without a field that it needs."""
EMPTY = "empty_text"


def text(fields: Mapping[str, Any], *names: str) -> str:
    """The text of the first of these fields that the record has.

    Raises:
        Unusable: it has none of them, or what it has is null, empty or no text.
    """
    name = next((name for name in names if name in fields), None)
    if name is None:
        raise Unusable(MISSING, f"the record has no {' or '.join(names)}", names[0])
    found = fields[name]
    if found is None or found == "":
        raise Unusable(EMPTY, f"{name} is empty", name, found)
    if isinstance(found, int | float) and not isinstance(found, bool):  # a year that somebody did not quote
        return str(found)
    if not isinstance(found, str):
        raise Unusable("invalid_request", f"{name} is no text", name, found)
    if not found.strip():
        raise Unusable(EMPTY, f"{name} is empty", name, found)
    return found
