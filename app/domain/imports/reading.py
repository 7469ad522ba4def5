"""A data file's facts, what it asks beyond them, and its records that cannot become facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from app.domain.contract import Fact, ImportFormat, UnusableRecord
from app.domain.errors import PalimpsestError
from app.domain.imports.formats import SHAPES, Shape, parsed
from app.domain.imports.json_files import Found
from app.domain.imports.records import EMPTY, Record, Unusable
from app.domain.imports.ripples import Ripple
from app.domain.imports.said import ReadFact, Said, place_of
from app.domain.imports.text_source import TextSource
from app.domain.places import Place
from app.domain.prompts import is_visible, with_slot


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """What has become of one record.

    meant: all facts that it is, none if it cannot be used. facts: those that no record before says.
    unusable: why it, or some of its facts, cannot be used.
    """

    index: int
    line: int | None
    record: Record | Unusable
    meant: tuple[ReadFact, ...]
    facts: tuple[ReadFact, ...]
    unusable: tuple[UnusableRecord, ...]


@dataclass(frozen=True, slots=True)
class Rippled:
    """What one record asks beyond its facts: tests that take for granted that all facts at these places hold."""

    index: int
    places: frozenset[Place]
    ripples: tuple[Ripple, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file holds. ``unasked``: questions of ``rippled`` that cannot be asked, by their records."""

    format: ImportFormat
    facts: tuple[ReadFact, ...]
    unusable: tuple[UnusableRecord, ...]
    rippled: tuple[Rippled, ...] = ()
    unasked: tuple[UnusableRecord, ...] = ()

    @property
    def records(self) -> int:
        """How many there are."""
        return len({each.index for each in self.facts} | {each.record for each in self.unusable})


def read(data: bytes, named: ImportFormat = ImportFormat.AUTO, *, chat: bool = False, again: bool = False) -> Reading:
    """Read a whole file.

    Args:
        chat: the prompts are a user's turns, and the objects begin replies.
        again: a record may give an earlier one's subject and prompt another object; else it cannot be used.

    Raises:
        UnreadableFile: nothing can be read of it.
    """
    found, records = read_records(TextSource(data), named, chat=chat, again=again)
    facts: list[ReadFact] = []
    unusable: list[UnusableRecord] = []
    rippled: list[Rippled] = []
    unasked: list[UnusableRecord] = []
    for each in records:
        facts += each.facts
        unusable += each.unusable
        if not each.meant:
            continue
        ripples, bad = _ripples(each.record, SHAPES[found])
        unasked += [why.at(each.index, each.line) for why in bad]
        if ripples:
            rippled.append(Rippled(each.index, frozenset(place_of(one.fact) for one in each.meant), ripples))
    return Reading(found, tuple(facts), tuple(unusable), tuple(rippled), tuple(unasked))


def read_records(
    source: TextSource, named: ImportFormat, *, chat: bool, again: bool = False
) -> tuple[ImportFormat, Iterator[ReadRecord]]:
    """A file's format, and its records one after another: nothing is kept of those that were read, but what they say.

    Raises:
        UnreadableFile: nothing can be read of it; while the records are read too.
    """
    found, records = parsed(source, named)
    return found, _read(records, SHAPES[found], Said(again=again), chat=chat)


def _read(records: Iterable[Found], shape: Shape, said: Said, *, chat: bool) -> Iterator[ReadRecord]:
    for index, line, record in records:
        try:
            meant = tuple(ReadFact(index, line, fact) for fact in _facts(record, shape, chat=chat))
            fresh, repeated = said.fresh(meant)
        except Unusable as why:
            yield ReadRecord(index, line, record, (), (), (why.at(index, line),))
        else:
            left_out = tuple(why.at(index, line) for why in repeated)
            yield ReadRecord(index, line, record, meant, tuple(fresh), left_out)


def reasons(unusable: Sequence[UnusableRecord]) -> dict[str, int]:
    """How many records cannot be used, by the reason's code; the most frequent first."""
    return dict(Counter(each.code for each in unusable).most_common())


def _facts(record: Record | Unusable, shape: Shape, *, chat: bool) -> list[Fact]:
    """The record as facts, in most formats one.

    Raises:
        Unusable: one of them cannot be one.
    """
    if isinstance(record, Unusable):
        raise record
    return [_fact(fields, chat=chat) for fields in shape.facts(record.fields)]


def _fact(fields: Mapping[str, Any], *, chat: bool) -> Fact:
    """A fact that has what every model needs: a subject once in its prompt, an object that shows.

    Raises:
        Unusable: the fields make none.
    """
    try:
        fact = Fact.model_validate({**fields, "chat": True} if chat else fields)
        if not is_visible(fact.object):
            raise Unusable(EMPTY, "the object has no visible character", "object", fact.object)
        if fact.messages is None:
            with_slot(fact.subject.strip(), fact.template)
    except ValidationError as error:
        raise _misformed(error) from None
    except PalimpsestError as error:
        raise Unusable.of(error) from None
    return fact


def _ripples(record: Record | Unusable, shape: Shape) -> tuple[tuple[Ripple, ...], list[Unusable]]:
    """The tests of a record, and its questions that cannot be asked."""
    found = [] if isinstance(record, Unusable) else list(shape.ripples(record.fields))
    return (
        tuple(each for each in found if isinstance(each, Ripple)),
        [each for each in found if isinstance(each, Unusable)],
    )


def _misformed(error: ValidationError) -> Unusable:
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or None
    return Unusable("invalid_request", first["msg"].removeprefix("Value error, "), field, first["input"])
