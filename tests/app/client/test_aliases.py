"""What the client sends to list, show, move and remove aliases, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.client import ApiError, AsyncClient, Client
from app.domain.contract import Alias, AliasList, AliasMove, GenerateReply, Problem, Serving
from tests.support.stand_in import Answering, standing_in

NOW = datetime.now(UTC)
MOVE = AliasMove(number=2, version=6, by="ann", moved=NOW)
PRODUCTION = Alias(name="production", id="m@production", model="m", version=6, by="ann", moved=NOW, moves=(MOVE,))
GONE = AliasMove(number=3, version=None, moved=NOW)
REFUSED = Problem(title="t", status=412, code="precondition_failed", detail="it is at version 7")


def saying(answer: BaseModel, status: int = 200) -> Answering:
    def answered(_: Request, __: int) -> Response:
        return JSONResponse(answer.model_dump(mode="json"), status)

    return answered


def test_a_move_says_from_where_if_it_is_told() -> None:
    with standing_in(saying(PRODUCTION)) as end, Client(end.url) as client:
        assert client.move_alias("m", "production", 6) == PRODUCTION
        assert client.move_alias("m", "production", 6, if_match=7) == PRODUCTION
        assert client.move_alias("m", "production", 6, if_match="*") == PRODUCTION
    assert [(request.method, request.url.path) for request in end.seen] == [("PUT", "/models/m/aliases/production")] * 3
    assert [request.headers.get("if-match") for request in end.seen] == [None, '"7"', "*"]
    assert [json.loads(body) for body in end.bodies] == [{"version": 6}] * 3


def test_one_is_removed_by_those_who_know_where_it_points() -> None:
    with standing_in(saying(GONE)) as end, Client(end.url) as client:
        assert client.remove_alias("m", "production", if_match=6) == GONE
    assert (end.seen[0].method, end.seen[0].headers["if-match"]) == ("DELETE", '"6"')


def test_a_refusal_says_why_and_is_sent_once() -> None:
    with standing_in(saying(REFUSED, 412)) as end, Client(end.url) as client, pytest.raises(ApiError) as caught:
        client.move_alias("m", "production", 6, if_match=5)
    assert (caught.value.status, caught.value.code, len(end.seen)) == (412, "precondition_failed", 1)


def test_they_are_read_and_asked_by_name() -> None:
    listed = AliasList(model="m", aliases=(PRODUCTION,))
    with standing_in(saying(listed)) as end, Client(end.url) as client:
        assert client.aliases("m") == listed
    with standing_in(saying(PRODUCTION)) as end, Client(end.url) as client:
        assert client.alias("m", "a/b") == PRODUCTION
    assert end.seen[0].scope["raw_path"] == b"/models/m/aliases/a%2Fb"
    with standing_in(saying(GenerateReply(model="m", version=6, generations=()))) as end, Client(end.url) as client:
        assert client.generate("Lyon is in", version="production").version == 6
    assert json.loads(end.bodies[0]) == {"prompts": ["Lyon is in"], "version": "production"}


def test_the_one_that_awaits_sends_the_same() -> None:
    async def all_of_them(url: str) -> list[BaseModel]:
        async with AsyncClient(url) as client:
            return [
                await client.move_alias("m", "production", 6, if_match=7),
                await client.alias("m", "production"),
            ]

    async def gone(url: str) -> AliasMove:
        async with AsyncClient(url) as client:
            return await client.remove_alias("m", "production", if_match="*")

    async def listed(url: str) -> AliasList:
        async with AsyncClient(url) as client:
            return await client.aliases("m")

    with standing_in(saying(PRODUCTION)) as end:
        assert asyncio.run(all_of_them(end.url)) == [PRODUCTION, PRODUCTION]
    assert [(each.method, each.headers.get("if-match")) for each in end.seen] == [("PUT", '"7"'), ("GET", None)]
    with standing_in(saying(GONE)) as end:
        assert asyncio.run(gone(end.url)) == GONE
    with standing_in(saying(AliasList(model="m", aliases=()))) as end:
        assert asyncio.run(listed(end.url)) == AliasList(model="m", aliases=())


def test_where_versions_are_served_is_read_by_both() -> None:
    told = Serving(model="m", version=7, followers=())

    async def awaited(url: str) -> Serving:
        async with AsyncClient(url) as client:
            return await client.serving("m")

    with standing_in(saying(told)) as end, Client(end.url) as client:
        assert client.serving("m") == asyncio.run(awaited(end.url)) == told
    assert [(each.method, each.url.path) for each in end.seen] == [("GET", "/models/m/serving")] * 2
