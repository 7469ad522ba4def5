"""A data file's facts, and its records that cannot become one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from app.domain.contract import Fact, ImportFormat, UnusableRecord
from app.domain.errors import PalimpsestError
from app.domain.imports.decoding import text_of
from app.domain.imports.formats import SHAPES, Shape, parsed
from app.domain.imports.records import EMPTY, Record, Unusable
from app.domain.places import Place
from app.domain.prompts import is_visible, with_slot


@dataclass(frozen=True, slots=True)
class ReadFact:
    """A fact, and the record that it comes from."""

    index: int
    line: int | None
    fact: Fact


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file holds."""

    format: ImportFormat
    facts: tuple[ReadFact, ...]
    unusable: tuple[UnusableRecord, ...]

    @property
    def records(self) -> int:
        """How many there are."""
        return len(self.facts) + len(self.unusable)


def read(data: bytes, named: ImportFormat = ImportFormat.AUTO, *, chat: bool = False, again: bool = False) -> Reading:
    """Read a whole file.

    Args:
        chat: the prompts are a user's turns, and the objects begin replies.
        again: a record may give an earlier one's subject and prompt another object; else it cannot be used.

    Raises:
        UnreadableFile: nothing can be read of it.
    """
    found, records = parsed(text_of(data), named)
    facts: list[ReadFact] = []
    unusable: list[UnusableRecord] = []
    places: dict[Place, ReadFact] = {}
    for index, line, record in records:
        try:
            read_fact = ReadFact(index, line, _fact(record, SHAPES[found], chat=chat))
            _once(read_fact, places, again=again)
        except Unusable as why:
            unusable.append(why.at(index, line))
        else:
            facts.append(read_fact)
    return Reading(found, tuple(facts), tuple(unusable))


def reasons(unusable: Sequence[UnusableRecord]) -> dict[str, int]:
    """How many records cannot be used, by the reason's code; the most frequent first."""
    return dict(Counter(each.code for each in unusable).most_common())


def _fact(record: Record | Unusable, shape: Shape, *, chat: bool) -> Fact:
    """The record as a fact that has what every model needs: a subject once in its prompt, an object that shows.

    Raises:
        Unusable: it cannot be one.
    """
    if isinstance(record, Unusable):
        raise record
    fields = shape.fact(record.fields)
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


def _misformed(error: ValidationError) -> Unusable:
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or None
    return Unusable("invalid_request", first["msg"].removeprefix("Value error, "), field, first["input"])


def _once(found: ReadFact, places: dict[Place, ReadFact], *, again: bool) -> None:
    """Note where the fact stands.

    Raises:
        Unusable: an earlier record says the same, or something else, of the same subject and prompt
            (``again``: only if the last one of these says the same).
    """
    fact = found.fact
    if fact.messages is not None:
        return
    place = Place.of(fact.subject, with_slot(fact.subject.strip(), fact.template))
    earlier = places.setdefault(place, found)
    if earlier is found:
        return
    if earlier.fact.object == fact.object:
        raise Unusable("repeated_fact", f"record {earlier.index} says the same", "object", fact.object)
    if again:
        places[place] = found
        return
    detail = f"record {earlier.index} gives the same subject and prompt another object"
    raise Unusable("contradictory_facts", detail, "object", [earlier.fact.object, fact.object])
