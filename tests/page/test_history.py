"""History: versions as layers, what lies between two, going back, and taking facts out."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.page.conftest import LYON, MODEL, Watched, edited, ended, head, job_in

PERU = {**LYON, "object": "Peru", "previous": "Japan"}


@pytest.fixture(scope="module")
def made() -> list[int]:
    return []


@pytest.fixture
def replaced(http: httpx.Client, made: list[int]) -> int:
    """The newest version, in which Lyon lies in Peru; in the one before it lies in Japan."""
    if not made or made[-1] != head(http):
        edited(http, [LYON])
        made.append(edited(http, [PERU])["version"])
    return made[-1]


@pytest.fixture
def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def layer(page: Page, version: int) -> Locator:
    return page.get_by_role("article", name=f"Version {version}", exact=True)


def test_versions_are_told_with_their_facts_norms_and_harm(page: Page, replaced: int) -> None:
    page.goto("/#/history")
    newest = layer(page, replaced)
    expect(newest).to_contain_text("in service")
    expect(newest).to_contain_text("Lyon is located in the country of Japan Peru")
    expect(newest).to_contain_text("Harm: KL")
    expect(newest.locator(".bar")).to_contain_text("norm")
    expect(newest.get_by_role("link", name="job")).to_be_visible()
    page.get_by_role("button", name="Show earlier versions").or_(layer(page, 0)).first.scroll_into_view_if_needed()


def test_earlier_versions_are_asked_for_when_they_are_shown(page: Page, replaced: int) -> None:
    asked = list[str]()

    def few(route: Route) -> None:
        asked.append(route.request.url)
        route.continue_(url=route.request.url.replace("limit=100", "limit=1"))

    page.route("**/versions?*", few)
    page.goto("/#/history")
    expect(layer(page, replaced)).to_be_visible()
    expect(layer(page, replaced - 1)).to_have_count(0)
    assert len(asked) == 1
    for version in (replaced - 1, replaced - 2):
        page.get_by_role("button", name="Show earlier versions").click()
        expect(layer(page, version)).to_be_visible()
        assert asked[-1].endswith(f"before={version + 1}")
    expect(page.get_by_role("button", name="Show earlier versions")).to_be_visible(visible=replaced > 2)


def test_two_versions_are_compared(page: Page, replaced: int) -> None:
    page.goto("/#/history")
    compare = page.get_by_role("region", name="Compare")
    compare.get_by_label("From").select_option(str(replaced))
    compare.get_by_label("To").select_option(str(replaced - 1))
    compare.get_by_role("button", name="Compare").click()
    expect(compare).to_contain_text("Changed: Lyon is located in the country of Peru Japan")
    expect(compare).to_contain_text("Norm of the change by layer")


def test_a_comparison_has_an_address(page: Page, replaced: int) -> None:
    page.goto(f"/#/history?from={replaced - 1}&to={replaced}")
    expect(page.get_by_role("region", name="Compare")).to_contain_text("country of Japan Peru")


def test_rolling_back_says_what_it_undoes_and_does_it_when_confirmed(
    page: Page, replaced: int, dialog: Locator, http: httpx.Client
) -> None:
    page.goto("/#/history")
    layer(page, replaced - 1).get_by_role("button", name="Roll back").click()
    expect(dialog).to_contain_text(f"Roll back to version {replaced - 1}?")
    expect(dialog).to_contain_text("1 fact of today will not be in force any more.")
    expect(dialog).to_contain_text("Lyon is located in the country of Peru Japan")
    dialog.get_by_role("button", name="Roll back").click()
    job = ended(http, job_in(page))
    assert (job["kind"], job["status"], job["version"]) == ("rollback", "succeeded", replaced + 1)
    expect(page.get_by_role("region", name="Facts in force")).to_contain_text("In force")


@pytest.mark.parametrize("key", ["Escape", "Enter"])
def test_a_dialog_that_is_left_undoes_nothing_and_gives_the_focus_back(
    page: Page, replaced: int, dialog: Locator, http: httpx.Client, key: str
) -> None:
    page.goto("/#/history")
    button = layer(page, replaced - 1).get_by_role("button", name="Roll back")
    button.focus()
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press(key)
    expect(dialog).to_have_count(0)
    expect(button).to_be_focused()
    assert head(http) == replaced


def test_taking_a_fact_out_says_what_comes_back_with_the_keyboard_alone(
    page: Page, replaced: int, dialog: Locator, http: httpx.Client
) -> None:
    page.goto("/#/history")
    facts = page.get_by_role("region", name="Facts in force")
    row = facts.get_by_role("checkbox", name="country of Japan Peru").or_(facts.get_by_role("checkbox", name="Peru"))
    row.first.focus()
    page.keyboard.press("Space")
    facts.get_by_role("button", name="Take out 1 fact").focus()
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("What they had replaced is in force again.")
    expect(dialog.locator(".gone")).to_contain_text("Peru")
    expect(dialog.locator(".change").first).to_contain_text("Japan")
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Take out")).to_be_focused()
    page.keyboard.press("Enter")
    job = ended(http, job_in(page))
    assert (job["kind"], job["status"]) == ("revert", "succeeded")
    in_force = http.get(f"/models/{MODEL}/facts").json()["facts"]
    assert [fact["object"] for fact in in_force if fact["subject"] == "Lyon"] == ["Japan"]


def test_what_was_confirmed_is_not_done_to_a_model_that_has_moved_on(
    page: Page, replaced: int, dialog: Locator, http: httpx.Client, watched: Watched
) -> None:
    watched.may_be_refused("/rollback")
    page.goto("/#/history")
    layer(page, replaced - 1).get_by_role("button", name="Roll back").click()
    expect(dialog).to_be_visible()
    newer: dict[str, Any] = edited(http, [{**LYON, "object": "Chad"}])
    dialog.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("alert")).to_contain_text(f"is at version {newer['version']}")
    assert head(http) == newer["version"]
