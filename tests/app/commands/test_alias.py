"""`palimpsest alias` lists, shows, moves and removes, and says what it was refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typer.testing import CliRunner

from app.cli import cli
from app.domain.contract import Alias, AliasList, AliasMove, Problem
from tests.support.stand_in import StandIn, standing_in

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GONE = AliasMove(number=2, version=None, moved=NOW)
REFUSED = Problem(title="t", status=412, code="precondition_failed", detail="atlas@production is at version 7.")

Run = Callable[..., tuple[int, str]]


def production(version: int) -> Alias:
    move = AliasMove(number=1, version=version, by="ann", moved=NOW)
    return Alias(
        name="production", id="atlas@production", model="atlas", version=version, by="ann", moved=NOW, moves=(move,)
    )


@pytest.fixture
def end() -> Iterator[StandIn]:
    """A service whose alias points to version 7, and goes to version 6 from there alone."""

    def answer(request: Request, _: int) -> Response:
        if request.url.path.endswith("/aliases"):
            return JSONResponse(AliasList(model="atlas", aliases=(production(7),)).model_dump(mode="json"))
        if request.method == "GET":
            return JSONResponse(production(7).model_dump(mode="json"))
        if request.headers.get("if-match") != '"7"':
            return JSONResponse(REFUSED.model_dump(), 412, media_type="application/problem+json")
        told = GONE if request.method == "DELETE" else production(6)
        return JSONResponse(told.model_dump(mode="json"))

    with standing_in(answer) as end:
        yield end


@pytest.fixture
def run(end: StandIn, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("PALIMPSEST_URL", end.url)
    monkeypatch.setenv("COLUMNS", "150")

    def command(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, ["alias", "atlas", *words])
        return done.exit_code, done.output

    return command


def test_it_lists_and_shows(run: Run) -> None:
    for words in ((), ("production",)):
        status, shown = run(*words)
        assert status == 0
        for word in ("production", "7", "ann", "2026-01-02 03:04:05"):
            assert word in shown
    assert AliasList.model_validate_json(run("--json")[1]).aliases == (production(7),)
    assert Alias.model_validate_json(run("production", "--json")[1]) == production(7)


def test_it_moves_from_where_it_is_told(run: Run, end: StandIn) -> None:
    status, shown = run("production", "6", "--if-match", "7")
    assert (status, "atlas@production: version 6" in shown) == (0, True)
    assert json.loads(end.bodies[-1]) == {"version": 6}


def test_a_refusal_is_a_line_and_status_1(run: Run) -> None:
    for words in (("production", "6"), ("production", "6", "--if-match", "5"), ("production", "6", "--if-match", "*")):
        status, shown = run(*words)
        assert (status, "precondition_failed: atlas@production is at version 7." in shown) == (1, True)


def test_it_removes(run: Run, end: StandIn) -> None:
    status, shown = run("production", "--remove", "--if-match", "7")
    assert (status, shown) == (0, "atlas@production was removed\n")
    assert end.seen[-1].method == "DELETE"


@pytest.mark.parametrize(
    "words",
    [
        ("--remove", "--if-match", "7"),
        ("production", "--remove"),
        ("production", "6", "--remove", "--if-match", "7"),
        ("production", "6", "--if-match", "seven"),
        ("production", "-1"),
        ("production", "six"),
    ],
)
def test_what_is_used_wrongly_asks_nobody(run: Run, end: StandIn, words: tuple[str, ...]) -> None:
    assert run(*words)[0] == 2
    assert end.seen == []
