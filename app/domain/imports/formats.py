"""The formats by name, and which one a file has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from types import MappingProxyType
from typing import Any

from app.domain.contract import ImportFormat
from app.domain.errors import UnreadableFile
from app.domain.imports import (
    counterfact,
    easyedit,
    knowedit,
    mquake,
    own,
    rippleedits,
    rows,
    unke,
    wikibigedit,
    zsre,
)
from app.domain.imports.json_files import Found, json_records
from app.domain.imports.records import Record
from app.domain.imports.ripples import RippleOrNot, nothing_more
from app.domain.imports.tables import csv_records, tsv_records
from app.domain.imports.text_source import TextSource

LOOKED_AT = 50
"""Records that a JSON file's format is judged by."""

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """How a record of one format becomes facts' fields; ``recognises``: whether it has this format.

    ripples: what it asks beyond its facts.
    """

    recognises: Callable[[Fields], bool]
    facts: Callable[[Fields], Sequence[dict[str, Any]]]
    ripples: Callable[[Fields], Iterable[RippleOrNot]] = nothing_more


def _one(fact: Callable[[Fields], dict[str, Any]]) -> Callable[[Fields], Sequence[dict[str, Any]]]:
    """Of a format whose records are a fact each."""
    return lambda fields: (fact(fields),)


SHAPES: Mapping[ImportFormat, Shape] = MappingProxyType(
    {
        ImportFormat.MQUAKE: Shape(mquake.recognises, mquake.facts, mquake.ripples),
        ImportFormat.COUNTERFACT: Shape(counterfact.recognises, _one(counterfact.fact)),
        ImportFormat.RIPPLEEDITS: Shape(rippleedits.recognises, _one(rippleedits.fact), rippleedits.ripples),
        ImportFormat.ZSRE: Shape(zsre.recognises, _one(zsre.fact)),
        ImportFormat.WIKIBIGEDIT: Shape(wikibigedit.recognises, _one(wikibigedit.fact), wikibigedit.ripples),
        ImportFormat.UNKE: Shape(unke.recognises, _one(unke.fact), unke.ripples),
        ImportFormat.KNOWEDIT: Shape(knowedit.recognises, _one(knowedit.fact), knowedit.ripples),
        ImportFormat.EASYEDIT: Shape(easyedit.recognises, _one(easyedit.fact)),
        ImportFormat.FACTS: Shape(own.recognises, _one(own.fact)),
        ImportFormat.CSV: Shape(rows.columns, _one(rows.fact)),
        ImportFormat.TSV: Shape(rows.columns, _one(rows.fact)),
    }
)
"""In the order in which a JSON file is tried for them: what has more fields of its own comes first."""

TABLES = {ImportFormat.CSV: csv_records, ImportFormat.TSV: tsv_records}


def parsed(source: TextSource, named: ImportFormat) -> tuple[ImportFormat, Iterator[Found]]:
    """A file's records, which are read as they are asked for, and the format: the named one, or what they show.

    Raises:
        UnreadableFile: it is not in the named format's form, or in none that is known. So do the records, where that
            is found out on the way.
    """
    if not (first := source.first()):
        raise UnreadableFile("The file is empty.")
    if named in TABLES:
        return named, TABLES[named](source)
    if named is ImportFormat.AUTO and first.lstrip()[0] not in "[{":
        found = ImportFormat.TSV if "\t" in source.head() else ImportFormat.CSV
        return found, TABLES[found](source)
    records = json_records(source)
    if named is not ImportFormat.AUTO:
        return named, records
    looked_at = list(islice(records, LOOKED_AT))
    return _shown_by(looked_at), chain(looked_at, records)


def _shown_by(records: Sequence[Found]) -> ImportFormat:
    seen = [record.fields for _, _, record in records if isinstance(record, Record)]
    for named, shape in SHAPES.items():
        if named not in TABLES and any(shape.recognises(fields) for fields in seen):
            return named
    names = list(seen[0]) if seen else None
    raise UnreadableFile("No format is known whose records have these fields.", value=names)
