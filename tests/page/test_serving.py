"""Serving: aliases are shown with their versions and moved from where they were seen; servers with their states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.page.conftest import MODEL, Watched
from tests.support.upstream import server

ALIAS = f"/models/{MODEL}/aliases/production"


@pytest.fixture
def production(http: httpx.Client, written: dict[str, Any]) -> Iterator[int]:
    """An alias, and the version that it points to."""
    http.put(ALIAS, json={"version": written["version"]}).raise_for_status()
    yield int(written["version"])
    http.delete(ALIAS, headers={"If-Match": "*"}).raise_for_status()


def serve(page: Page, version: int) -> None:
    """Have the page see two servers and two aliases, as a service with followers tells of them."""
    servers = (
        server("http://10.0.0.7:8000", *range(version + 1)),
        server("http://10.0.0.8:8000", 0, state="behind", problem="The server refused it: no slot for another."),
        server("http://10.0.0.9:8000", state="unreachable"),
    )
    now = servers[0].checked.isoformat()
    card = {
        "follower": "f1",
        "model": MODEL,
        "engine": "vllm",
        "version": version,
        "tolerance": 0.05,
        "servers": [each.model_dump(mode="json") for each in servers],
        "started": now,
    }
    told = {"model": MODEL, "version": version, "followers": [card]}
    aliases = [
        {"name": name, "id": f"{MODEL}@{name}", "model": MODEL, "version": at, "by": "ann", "moved": now, "moves": []}
        for name, at in (("canary", version), ("production", 0))
    ]
    page.route("**/serving", lambda route: route.fulfill(json=told))
    page.route("**/aliases", lambda route: route.fulfill(json={"model": MODEL, "aliases": aliases}))


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name="Aliases").get_by_role("listitem").filter(has_text=f"@{name}")


def test_an_alias_is_moved_and_back_when_confirmed(page: Page, production: int, http: httpx.Client) -> None:
    page.goto("/#/serving")
    for version in (0, production):
        expect(row(page, "production")).to_contain_text(f"version {production - version}")
        row(page, "production").get_by_label("Move to version").fill(str(version))
        row(page, "production").get_by_role("button", name="Move").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text(f"is answered from version {version}, and no longer from version")
        dialog.get_by_role("button", name="Move").click()
        expect(row(page, "production")).to_contain_text(f"version {version}")
        assert http.get(ALIAS).json()["version"] == version


def test_a_dialog_that_is_left_moves_nothing(page: Page, production: int, http: httpx.Client) -> None:
    page.goto("/#/serving")
    row(page, "production").get_by_label("Move to version").fill("0")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(row(page, "production").get_by_role("button", name="Move")).to_be_focused()
    assert http.get(ALIAS).json()["version"] == production


def test_one_that_somebody_else_has_moved_stays_there(
    page: Page, production: int, http: httpx.Client, watched: Watched
) -> None:
    watched.may_be_refused("/production")
    page.goto("/#/serving")
    row(page, "production").get_by_label("Move to version").fill(str(production))
    http.put(ALIAS, json={"version": 0}, headers={"If-Match": "*"}).raise_for_status()
    row(page, "production").get_by_role("button", name="Move").click()
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(page.get_by_role("alert")).to_contain_text("is at version 0")
    assert http.get(ALIAS).json()["version"] == 0


def test_what_a_key_may_not_move_says_so(page: Page, production: int, watched: Watched) -> None:
    watched.may_be_refused("/production")
    problem = {"title": "Forbidden", "status": 403, "code": "forbidden", "detail": "The key lacks the scope publish."}

    def refuse(route: Route) -> None:
        assert route.request.headers["if-match"] == f'"{production}"'
        route.fulfill(status=403, content_type="application/problem+json", json=problem)

    page.route("**/aliases/production", refuse)
    page.goto("/#/serving")
    row(page, "production").get_by_label("Move to version").fill("0")
    row(page, "production").get_by_role("button", name="Move").click()
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(page.get_by_role("alert")).to_contain_text("The key lacks the scope publish.")


@pytest.mark.usefixtures("written")
def test_an_alias_is_made(page: Page, http: httpx.Client) -> None:
    page.goto("/#/serving")
    expect(page.get_by_role("region", name="Aliases")).to_contain_text("No alias points to a version")
    page.get_by_text("A new alias", exact=True).click()
    form = page.get_by_role("form", name="A new alias")
    form.get_by_label("Name").fill("production")
    form.get_by_label("Version").fill("0")
    form.get_by_role("button", name="Make it").click()
    expect(row(page, "production")).to_contain_text("version 0")
    http.delete(ALIAS, headers={"If-Match": '"0"'}).raise_for_status()


def test_servers_are_told_with_states_and_what_they_have(page: Page, written: dict[str, Any]) -> None:
    serve(page, written["version"])
    page.goto("/#/serving")
    servers = page.get_by_role("region", name="Inference servers").get_by_role("listitem")
    expect(servers).to_have_count(3)
    expect(servers.nth(0)).to_contain_text("has canary, production")
    expect(servers.nth(1)).to_contain_text("behind")
    expect(servers.nth(1)).to_contain_text("no slot for another")
    expect(servers.nth(2)).to_contain_text("nothing proven")
    expect(row(page, "production")).to_contain_text("on 2 of 3 servers")


@pytest.mark.usefixtures("written")
def test_without_servers_the_workers_answer(page: Page) -> None:
    page.goto("/#/serving")
    expect(page.get_by_role("region", name="Inference servers")).to_contain_text("its workers answer")
