"""Records of JSON files: a list, an object that holds one, or a JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from app.domain.errors import UnreadableFile
from app.domain.imports.records import Record, Unusable
from app.domain.imports.text_source import LINE_FEED, TextSource
from app.domain.problems import EXCERPT

LISTS = ("facts", "data", "records", "edits", "batches")
"""Fields of an object that may hold the list."""

Found = tuple[int, int | None, Record | Unusable]
"""A record's index and line, and the record or why it is none."""


def json_records(source: TextSource) -> Iterator[Found]:
    """Each record of the text: of JSON lines read as they are asked for, of any other JSON after all of it was read.

    Raises:
        UnreadableFile: it is neither JSON nor JSON lines, or holds no list.
    """
    if _has_lines(source, 2):
        return _lines(source)
    text = source.whole()
    try:
        document = json.loads(text)
    except RecursionError:
        raise UnreadableFile("The JSON is nested too deeply.") from None
    except ValueError as error:
        if _has_lines(source, 1):
            return _lines(source)
        raise _not_json(text, error) from None
    return _listed(document)


def _has_lines(source: TextSource, least: int) -> bool:
    """Whether the first line that is not blank is a whole JSON object, so that one may stand on each; and so many."""
    filled = list(islice((line for line in source.lines(LINE_FEED) if line.strip()), least))
    return len(filled) == least and isinstance(_object(filled[0]), dict)


def _lines(source: TextSource) -> Iterator[Found]:
    index = 0
    for number, line in enumerate(source.lines(LINE_FEED), 1):
        if line.strip():
            yield index, number, _record(index, number, _object(line.removesuffix(LINE_FEED)))
            index += 1


def _object(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return Unusable("not_json", "the line is no JSON", value=line)


def _listed(document: object) -> Iterator[Found]:
    for index, item in enumerate(_items(document)):
        yield index, None, _record(index, None, item)


def _items(document: object) -> list[Any]:
    """The list of records. Batches, as ``palimpsest apply`` takes them, are joined."""
    match document:
        case list():
            return document
        case dict():
            for name in LISTS:
                if isinstance(found := document.get(name), list):
                    batches = name == "batches" and all(isinstance(batch, list) for batch in found)
                    return [item for batch in found for item in batch] if batches else found
            return [document]
    raise UnreadableFile("The file holds no list of records.", value=document)


def _record(index: int, line: int | None, found: object) -> Record | Unusable:
    if isinstance(found, Mapping):
        return Record(index, line, found)
    return found if isinstance(found, Unusable) else Unusable("no_object", "the record is no object", value=found)


def _not_json(text: str, error: ValueError) -> UnreadableFile:
    if isinstance(error, json.JSONDecodeError):
        fault, line, column = error.msg, error.lineno, error.colno  # one of the parser's own phrases
        detail = f"The file is no JSON: {fault} at line {line}, column {column}."
        return UnreadableFile(detail, value=text[max(0, error.pos - EXCERPT) : error.pos + EXCERPT])
    return UnreadableFile("The file is no JSON: a number in it is too long.")
