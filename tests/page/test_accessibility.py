"""Every view in both colours at two widths: what axe-core finds, whether it fits, and a picture to look at."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.page.conftest import DESK, PHONE, SCREENSHOTS
from tests.page.test_serving import serve

GRAVE = ("serious", "critical")


def findings(page: Page) -> list[str]:
    """What axe-core finds that is serious or critical."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{each['impact']}: {each['id']} at {node['target']}"
        for each in found
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]


def edit(page: Page, _: dict[str, Any]) -> None:
    page.goto("/")
    page.get_by_label("Sentence", exact=True).fill("The capital of Norway is")
    page.get_by_label("Subject", exact=True).fill("Norway")
    page.get_by_label("New object").fill("Lima")
    page.get_by_text("Paraphrases and neighbours", exact=True).click()
    page.get_by_label("Paraphrases, one a line").fill("The capital city of {} is called")
    page.get_by_label("Neighbours, one a line").fill("The capital of Sweden is")
    for summary in ("More of this fact", "Method and conditions"):
        page.get_by_text(summary).click()
    expect(page.get_by_text("2 more prompts, as answered now")).to_be_visible()


def edit_many(page: Page, _: dict[str, Any]) -> None:
    page.goto("/")
    page.get_by_text("Many facts", exact=True).click()
    page.get_by_label("Facts", exact=True).fill("Norway\tThe capital of {} is\tLima\tOslo\nno tabs")
    page.get_by_role("button", name="Write it into the model").click()
    expect(page.locator(".bars").first).to_be_visible()


def jobs(page: Page, _: dict[str, Any]) -> None:
    page.goto("/#/jobs")
    expect(page.locator(".rows")).to_be_visible()


def job(page: Page, written: dict[str, Any]) -> None:
    page.goto(f"/#/jobs/{written['id']}")
    expect(page.get_by_role("region", name="Harm")).to_be_visible()


def ask(page: Page, written: dict[str, Any]) -> None:
    page.goto("/#/ask")
    page.get_by_label("Earlier version").select_option("0")
    page.get_by_label("Later version").select_option(str(written["version"]))
    page.get_by_label("Question").fill("Lyon is located in the country of")
    page.get_by_role("button", name="Ask both").click()
    expect(page.locator(".answer")).to_have_count(2)


def history(page: Page, written: dict[str, Any]) -> None:
    page.goto(f"/#/history?from=0&to={written['version']}")
    expect(page.get_by_role("region", name="Compare")).to_contain_text("Japan")
    expect(page.locator(".waiting")).to_have_count(0)


def roll_back(page: Page, _: dict[str, Any]) -> None:
    page.goto("/#/history")
    page.get_by_role("button", name="Roll back to version 0").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def serving(page: Page, written: dict[str, Any]) -> None:
    serve(page, written["version"])
    page.goto("/#/serving")
    expect(page.get_by_role("region", name="Inference servers")).to_contain_text("no slot for another")


def empty(page: Page, _: dict[str, Any]) -> None:
    page.goto("/#/jobs")
    page.get_by_label("Show").select_option("rejected")
    expect(page.locator(".empty")).to_be_visible()


@pytest.mark.parametrize("width", [DESK, PHONE], ids=["1280", "390"])
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize(
    "view", [edit, edit_many, jobs, job, ask, history, roll_back, serving, empty], ids=lambda view: view.__name__
)
def test_a_view_can_be_used_by_everybody_and_fits(
    page: Page, written: dict[str, Any], view: Any, colours: Literal["light", "dark"], width: ViewportSize
) -> None:
    page.set_viewport_size(width)
    page.emulate_media(color_scheme=colours, reduced_motion="reduce")
    view(page, written)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{view.__name__}-{colours}-{width['width']}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width["width"]
    assert findings(page) == []


def test_axe_finds_what_is_wrong(browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.set_content("<html lang=en><title>x</title><main><h1>x</h1><input><p style='color:#ccc'>pale</p></main>")
        assert {finding.split()[1] for finding in findings(page)} == {"label", "color-contrast"}
