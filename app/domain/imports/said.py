"""What the records of a file have said so far, so that none says it again, or otherwise."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.domain.contract import Fact
from app.domain.imports.records import Unusable
from app.domain.places import Place
from app.domain.prompts import with_slot

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class ReadFact:
    """A fact, and the record that it comes from."""

    index: int
    line: int | None
    fact: Fact


class _Earlier(NamedTuple):
    """A fact of a record before: that record's index, and the object."""

    record: int
    object: str


class Said:
    """The places that records have given objects. All that is kept of a fact is a digest of its place, and its object.

    again: a record may give an earlier one's subject and prompt another object; else it cannot be used.
    """

    def __init__(self, *, again: bool = False) -> None:
        self._again = again
        self._earlier: dict[bytes, _Earlier] = {}

    def fresh(self, found: Sequence[ReadFact]) -> tuple[list[ReadFact], list[Unusable]]:
        """Those of a record's facts that no fact before says, which are noted; and why the others are left out.

        Raises:
            Unusable: one of them contradicts a fact before (``again``: a fact of the same record); nothing is noted.
        """
        fresh: list[ReadFact] = []
        repeated: list[Unusable] = []
        noted: dict[bytes, _Earlier] = {}
        for each in found:
            if each.fact.messages is not None:
                fresh.append(each)
                continue
            place = _digest(place_of(each.fact))
            earlier = noted.get(place) or self._earlier.get(place)
            replaced = self._again and place not in noted and earlier is not None and earlier.object != each.fact.object
            if earlier is None or replaced:
                noted[place] = _Earlier(each.index, each.fact.object)
                fresh.append(each)
            else:
                repeated.append(_said_before(each.fact, earlier))
        self._earlier.update(noted)
        return fresh, repeated


def place_of(fact: Fact) -> Place:
    """Where a fact that is no list of messages stands."""
    return Place.of(fact.subject, with_slot(fact.subject.strip(), fact.template))


def _digest(place: Place) -> bytes:
    text = f"{len(place.subject)} {place.subject}{place.prompt}"  # the length: where one ends and the other begins
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def _said_before(fact: Fact, earlier: _Earlier) -> Unusable:
    """Why a fact that an earlier record says is left out.

    Raises:
        Unusable: the earlier record says something else of the same subject and prompt.
    """
    if earlier.object == fact.object:
        return Unusable("repeated_fact", f"record {earlier.record} says the same", "object", fact.object)
    detail = f"record {earlier.record} gives the same subject and prompt another object"
    raise Unusable("contradictory_facts", detail, "object", [earlier.object, fact.object])
