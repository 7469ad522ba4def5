"""A data file's facts, what it asks beyond them, and its records that cannot become facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from app.domain.contract import Fact, ImportFormat, UnusableRecord
from app.domain.errors import PalimpsestError
from app.domain.imports.decoding import text_of
from app.domain.imports.formats import SHAPES, Shape, parsed
from app.domain.imports.records import EMPTY, Record, Unusable
from app.domain.imports.ripples import Ripple
from app.domain.places import Place
from app.domain.prompts import is_visible, with_slot


@dataclass(frozen=True, slots=True)
class ReadFact:
    """A fact, and the record that it comes from."""

    index: int
    line: int | None
    fact: Fact


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
    found, records = parsed(text_of(data), named)
    shape = SHAPES[found]
    facts: list[ReadFact] = []
    unusable: list[UnusableRecord] = []
    rippled: list[Rippled] = []
    unasked: list[UnusableRecord] = []
    places: dict[Place, ReadFact] = {}
    for index, line, record in records:
        try:
            of_record = [ReadFact(index, line, fact) for fact in _facts(record, shape, chat=chat)]
            fresh, repeated = _fresh(of_record, places, again=again)
        except Unusable as why:
            unusable.append(why.at(index, line))
            continue
        facts += fresh
        unusable += [why.at(index, line) for why in repeated]
        ripples, bad = _ripples(record, shape)
        unasked += [why.at(index, line) for why in bad]
        if ripples:
            rippled.append(Rippled(index, frozenset(place_of(each.fact) for each in of_record), ripples))
    return Reading(found, tuple(facts), tuple(unusable), tuple(rippled), tuple(unasked))


def place_of(fact: Fact) -> Place:
    """Where a fact that is no list of messages stands."""
    return Place.of(fact.subject, with_slot(fact.subject.strip(), fact.template))


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


def _fresh(
    found: Sequence[ReadFact], places: dict[Place, ReadFact], *, again: bool
) -> tuple[list[ReadFact], list[Unusable]]:
    """Those of a record's facts that no fact before says, whose places are noted; and why the others are left out.

    Raises:
        Unusable: one of them contradicts a fact before (``again``: a fact of the same record); no place is noted.
    """
    fresh: list[ReadFact] = []
    repeated: list[Unusable] = []
    noted: dict[Place, ReadFact] = {}
    for each in found:
        if each.fact.messages is not None:
            fresh.append(each)
            continue
        place = place_of(each.fact)
        earlier = noted.get(place) or places.get(place)
        replaced = again and place not in noted and earlier is not None and earlier.fact.object != each.fact.object
        if earlier is None or replaced:
            noted[place] = each
            fresh.append(each)
        else:
            repeated.append(_said_before(each.fact, earlier))
    places.update(noted)
    return fresh, repeated


def _said_before(fact: Fact, earlier: ReadFact) -> Unusable:
    """Why a fact that an earlier record says is left out.

    Raises:
        Unusable: the earlier record says something else of the same subject and prompt.
    """
    if earlier.fact.object == fact.object:
        return Unusable("repeated_fact", f"record {earlier.index} says the same", "object", fact.object)
    detail = f"record {earlier.index} gives the same subject and prompt another object"
    raise Unusable("contradictory_facts", detail, "object", [earlier.fact.object, fact.object])
