"""A fact that is full of markup is text wherever it is shown, and the browser would not take it for anything else."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import edited

IMAGE = "<img src=x onerror=\"window.broken='yes'\">"
LINK = "<a href='javascript:alert(1)'>Japan</a>"
SCRIPT = "<script>window.broken='yes'</script>"
FACT = {
    "subject": IMAGE,
    "prompt": "{} & <b>friends</b> come from",
    "object": LINK,
    "previous": SCRIPT,
    "paraphrases": [f"{{}} {SCRIPT} comes from"],
}


@pytest.fixture(scope="module")
def tagged(http: httpx.Client) -> dict[str, Any]:
    return edited(http, [FACT], unheld="keep")


def nothing_came_of_it(page: Page) -> None:
    assert page.evaluate("window.broken") is None
    assert page.locator("main img, main script, main b, dialog img, a[href^=javascript]").count() == 0


def test_in_a_draft(page: Page) -> None:
    page.goto("/")
    page.get_by_label("Sentence", exact=True).fill(f"{IMAGE} comes from")
    page.get_by_label("Subject", exact=True).fill(IMAGE)
    page.get_by_label("New object").fill(LINK)
    expect(page.locator(".draft")).to_have_text(f"{IMAGE} comes from {LINK}")
    expect(page.get_by_role("region", name="What the model says now")).to_contain_text("the new object has rank")
    nothing_came_of_it(page)


def test_in_a_report(page: Page, tagged: dict[str, Any]) -> None:
    page.goto(f"/#/jobs/{tagged['id']}")
    expect(page.locator(".fact-report")).to_contain_text(f"{IMAGE} & <b>friends</b> come from {SCRIPT} {LINK}")
    nothing_came_of_it(page)


def test_in_the_history_and_its_dialog(page: Page, tagged: dict[str, Any]) -> None:
    page.goto("/#/history")
    expect(page.get_by_role("article", name=f"Version {tagged['version']}", exact=True)).to_contain_text(IMAGE)
    facts = page.get_by_role("region", name="Facts in force")
    facts.locator("li", has_text=IMAGE).get_by_role("checkbox").check()
    facts.get_by_role("button", name="Take out 1 fact").click()
    expect(page.get_by_role("dialog")).to_contain_text(LINK)
    nothing_came_of_it(page)
    page.keyboard.press("Escape")


def test_in_an_error(page: Page, watched: Any) -> None:
    watched.may_be_refused("/models")
    problem = {"title": IMAGE, "status": 503, "code": "x", "detail": SCRIPT, "field": LINK}
    page.route("**/models", lambda route: route.fulfill(status=503, json=problem))
    page.goto("/")
    expect(page.get_by_role("alert")).to_contain_text(SCRIPT)
    nothing_came_of_it(page)


@pytest.mark.parametrize(
    "way",
    [
        "document.body.innerHTML = '<p>x</p>'",
        "document.write('x')",
        "Range.prototype.createContextualFragment.call(new Range(), 'x')",
    ],
)
def test_the_browser_refuses_markup_from_text(page: Page, watched: Any, way: str) -> None:
    page.goto("/")
    told = page.evaluate(f"() => {{ try {{ {way}; return 'taken'; }} catch (error) {{ return error.name; }} }}")
    assert told == "TypeError"
    watched.complaints.clear()  # the refusal itself
