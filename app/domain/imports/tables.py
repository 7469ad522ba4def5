"""Records of CSV and TSV files, whose first line names the columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from app.domain.errors import UnreadableFile
from app.domain.imports.json_files import Found
from app.domain.imports.records import Record, Unusable
from app.domain.imports.rows import columns


def csv_records(text: str) -> Iterator[Found]:
    """Each row; the separator is a comma, or a semicolon if the first line has more of those.

    Raises:
        UnreadableFile: quotes are not closed, or the first line names no subject and object.
    """
    first = text.partition("\n")[0]
    return _records(list(_rows(text, ";" if first.count(";") > first.count(",") else ",", csv.QUOTE_MINIMAL)))


def tsv_records(text: str) -> Iterator[Found]:
    """Each row. Quotes are taken as a spreadsheet writes them, or else as text.

    Raises:
        UnreadableFile: the first line names no subject and object.
    """
    try:
        rows = list(_rows(text, "\t", csv.QUOTE_MINIMAL))
    except UnreadableFile:
        rows = list(_rows(text, "\t", csv.QUOTE_NONE))
    return _records(rows)


def _rows(text: str, separator: str, quoting: int) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the line on which it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=quoting, strict=True)  # type: ignore[arg-type]
    begins = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield begins, row
            begins = reader.line_num + 1
    except csv.Error:
        detail = f"The table cannot be read from line {begins} on: a quote may be left open."
        raise UnreadableFile(detail, value=begins) from None


def _records(rows: Sequence[tuple[int, list[str]]]) -> Iterator[Found]:
    if not rows:
        return
    names = _names(rows[0][1])
    if len(names) < 2:  # noqa: PLR2004 - one column is no table
        raise UnreadableFile("The first line names one column only: is the separator another one?", value=rows[0][1])
    if not columns(names):
        detail = "The first line has to name the columns: subject, object, and prompt, question or relation."
        raise UnreadableFile(detail, value=names)
    for index, (line, row) in enumerate(rows[1:]):
        yield index, line, _record(index, line, names, row)


def _names(row: Sequence[str]) -> list[str]:
    """The columns' names; of a name that comes again, the later ones get a number."""
    found: list[str] = []
    for cell in row:
        name = cell.strip().casefold().replace(" ", "_")
        found.append(f"{name}_{found.count(name) + len(found)}" if name in found else name)
    return found


def _record(index: int, line: int, names: Sequence[str], row: Sequence[str]) -> Record | Unusable:
    if len(row) > len(names) and any(cell.strip() for cell in row[len(names) :]):
        return Unusable("too_many_cells", f"the row has {len(row)} cells, the first line names {len(names)}")
    fields = {name: cell.strip() for name, cell in zip(names, row, strict=False) if name}
    return Record(index, line, fields)
