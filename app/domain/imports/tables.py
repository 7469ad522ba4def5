"""Records of CSV and TSV files, whose first line names the columns."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence

from app.domain.errors import UnreadableFile
from app.domain.imports.json_files import Found
from app.domain.imports.records import Record, Unusable
from app.domain.imports.rows import columns
from app.domain.imports.text_source import ANY_END, TextSource


def csv_records(source: TextSource) -> Iterator[Found]:
    """Each row, as it is asked for; the separator is a comma, or a semicolon if the first line has more of those.

    Raises:
        UnreadableFile: quotes are not closed, or the first line names no subject and object.
    """
    first = source.head()
    return _records(_rows(source, ";" if first.count(";") > first.count(",") else ",", csv.QUOTE_MINIMAL))


def tsv_records(source: TextSource) -> Iterator[Found]:
    """Each row, as it is asked for. Quotes are taken as a spreadsheet writes them, or else as text.

    Raises:
        UnreadableFile: the first line names no subject and object.
    """
    try:
        deque(_rows(source, "\t", csv.QUOTE_MINIMAL), maxlen=0)  # read to its end, and not kept
    except UnreadableFile:
        return _records(_rows(source, "\t", csv.QUOTE_NONE))
    return _records(_rows(source, "\t", csv.QUOTE_MINIMAL))


def _rows(source: TextSource, separator: str, quoting: int) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the line on which it begins."""
    reader = csv.reader(source.lines(ANY_END), delimiter=separator, quoting=quoting, strict=True)  # type: ignore[arg-type]
    begins = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield begins, row
            begins = reader.line_num + 1
    except csv.Error:
        detail = f"The table cannot be read from line {begins} on: a quote may be left open."
        raise UnreadableFile(detail, value=begins) from None


def _records(rows: Iterator[tuple[int, list[str]]]) -> Iterator[Found]:
    if (first := next(rows, None)) is None:
        return
    names = _names(first[1])
    if len(names) < 2:  # noqa: PLR2004 - one column is no table
        raise UnreadableFile("The first line names one column only: is the separator another one?", value=first[1])
    if not columns(names):
        detail = "The first line has to name the columns: subject, object, and prompt, question or relation."
        raise UnreadableFile(detail, value=names)
    for index, (line, row) in enumerate(rows):
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
