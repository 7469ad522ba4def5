"""`palimpsest serving` shows servers, what they have proven, and which alias points where."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typer.testing import CliRunner

from app.cli import cli
from app.domain.contract import Alias, AliasList, FollowerCard, Problem, Serving
from tests.support.stand_in import standing_in
from tests.support.upstream import server

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SERVERS = (
    server("http://one", 0, 5, 6, 7, 9),
    server("http://two", 7, state="behind", problem="no slot [for another]"),
    server("http://three", state="unreachable"),
)
FOLLOWER = FollowerCard(
    follower="f1", model="atlas", engine="vllm", version=9, tolerance=0.05, servers=SERVERS, started=NOW
)
ALIASES = AliasList(
    model="atlas",
    aliases=(Alias(name="production", id="atlas@production", model="atlas", version=7, moved=NOW),),
)
REFUSED = Problem(title="t", status=404, code="unknown_model", detail="No model nobody has an edit log here.")

Run = Callable[..., tuple[int, str]]


@pytest.fixture(params=[(FOLLOWER,)])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The command, asking a service with these followers."""
    told = Serving(model="atlas", version=9, followers=request.param)

    def answer(asked: Request, _: int) -> Response:
        if "/nobody/" in asked.url.path:
            return JSONResponse(REFUSED.model_dump(), 404, media_type="application/problem+json")
        found = ALIASES if asked.url.path.endswith("/aliases") else told
        return JSONResponse(found.model_dump(mode="json"))

    def command(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, ["serving", *words])
        return done.exit_code, done.output

    with standing_in(answer) as end:
        monkeypatch.setenv("PALIMPSEST_URL", end.url)
        monkeypatch.setenv("COLUMNS", "150")
        yield command


def test_it_shows_servers_states_and_what_they_have_proven(run: Run) -> None:
    status, shown = run("atlas")
    assert status == 0
    rows = {line.split()[1]: line for line in shown.splitlines() if "http://" in line}
    assert "serving" in rows["http://one"]
    assert "0, 5-7, 9" in rows["http://one"]
    assert "production" in rows["http://one"]
    assert "behind" in rows["http://two"]
    assert "no slot [for another]" in rows["http://two"]
    assert "unreachable" in rows["http://three"]
    assert "production" not in rows["http://three"]
    assert "atlas@production: version 7, on 2 of 3 servers" in shown


@pytest.mark.parametrize("run", [()], indirect=True)
def test_without_followers_it_says_so(run: Run) -> None:
    status, shown = run("atlas")
    assert status == 0
    assert "No inference server follows atlas; workers answer." in shown
    assert "atlas@production: version 7\n" in shown


def test_as_json_it_is_what_the_service_says(run: Run) -> None:
    assert Serving.model_validate_json(run("atlas", "--json")[1]).followers == (FOLLOWER,)


def test_an_unknown_model_is_a_line_and_status_1(run: Run) -> None:
    status, shown = run("nobody")
    assert (status, "unknown_model: No model nobody" in shown) == (1, True)
