"""The error tree is the one that its module draws."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from app.domain import errors
from app.domain.errors import PalimpsestError

LINE = re.compile(r"^(?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+) +(?P<status>\d{3}) (?P<code>\w+)$", re.MULTILINE)


def family(kind: type[PalimpsestError]) -> Iterator[type[PalimpsestError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


OURS = [kind for kind in family(PalimpsestError) if kind.__module__ == errors.__name__]


def drawn() -> list[tuple[int, str, int, str]]:
    """Depth, name, status and code of each line of the drawing."""
    return [
        (len(line["branch"]) // 4, line["name"], int(line["status"]), line["code"])
        for line in LINE.finditer(inspect.cleandoc(errors.__doc__ or ""))
    ]


def test_the_drawing_shows_every_error_with_its_status_and_code() -> None:
    assert [row[1:] for row in drawn()] == [(kind.__name__, kind.status, kind.code) for kind in OURS]


def test_the_drawing_shows_who_descends_from_whom() -> None:
    def depth(kind: type[PalimpsestError]) -> int:
        return kind.__mro__.index(PalimpsestError)

    assert [row[0] for row in drawn()] == [depth(kind) for kind in OURS]


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in OURS]
    assert len(set(codes)) == len(codes)


def test_every_error_of_the_module_descends_from_the_root() -> None:
    raised = {thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, BaseException)}
    assert raised == set(OURS)


def test_a_status_that_asks_to_come_back_says_when() -> None:
    assert {kind.code for kind in OURS if kind.retry_after} == {kind.code for kind in OURS if kind.status in (429, 503)}


def test_places_are_put_before_the_field() -> None:
    assert errors.EmptyText("no subject", field="subject").at("facts.3").field == "facts.3.subject"
    assert errors.EmptyText("nothing").at("facts.3").field == "facts.3"
