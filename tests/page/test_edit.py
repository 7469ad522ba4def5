"""Edit: one fact as a sentence, or many pasted; what the model says now; the way to its job."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.page.conftest import Watched, ended, head, job_in, pressed

NORWAY = "The capital of Norway is"


@pytest.fixture
def sentence(page: Page) -> Locator:
    page.goto("/")
    return page.get_by_label("Sentence", exact=True)


def select(sentence: Locator, part: str) -> None:
    """Mark a part of the sentence, as a mouse does by being drawn over it."""
    sentence.evaluate(
        "(area, part) => { const at = area.value.indexOf(part); area.setSelectionRange(at, at + part.length); }",
        part,
    )


def says(page: Page) -> Locator:
    return page.get_by_role("region", name="What the model says now")


def test_a_whole_sentence_becomes_a_fact_by_marking_its_parts(page: Page, sentence: Locator) -> None:
    sentence.fill("The capital of Norway is Lima.")
    select(sentence, "Norway")
    page.get_by_role("button", name="Mark as subject").click()
    select(sentence, "Lima")
    page.get_by_role("button", name="Mark as object").click()
    expect(sentence).to_have_value(NORWAY)
    expect(page.get_by_label("Subject", exact=True)).to_have_value("Norway")
    expect(page.get_by_label("New object")).to_have_value("Lima")
    expect(page.locator(".draft .subject")).to_have_text("Norway")
    expect(page.locator(".draft .written")).to_have_text("Lima")


def test_what_the_model_says_now_is_shown_while_one_types(page: Page, sentence: Locator) -> None:
    sentence.press_sequentially(NORWAY)
    expect(says(page)).to_contain_text("as soon as the sentence has its subject")
    page.get_by_label("Subject", exact=True).press_sequentially("Norway")
    expect(says(page).locator(".fact").first).to_contain_text("Oslo")
    expect(says(page).locator(".bars").first.locator("li")).to_have_count(5)
    page.get_by_label("New object").press_sequentially("Lima")
    expect(says(page)).to_contain_text("the new object has rank")
    page.get_by_label("New object").fill("Oslo")
    expect(says(page)).to_contain_text("The model says this already.")


def test_paraphrases_and_neighbours_are_asked_and_counted_among_what_is_checked(page: Page, sentence: Locator) -> None:
    sentence.fill(NORWAY)
    page.get_by_label("Subject", exact=True).fill("Norway")
    page.get_by_text("Paraphrases and neighbours", exact=True).click()
    page.get_by_label("Paraphrases, one a line").fill(
        "The capital city of {} is called\nThe name of the capital of {} is"
    )
    page.get_by_label("Neighbours, one a line").fill("The capital of Sweden is")
    checks = page.get_by_role("region", name="What will be checked")
    expect(checks).to_contain_text("2 paraphrases are asked, and not taught.")
    expect(checks).to_contain_text("1 neighbour must answer as before.")
    expect(says(page)).to_contain_text("The capital city of Norway is called Oslo")
    expect(says(page)).to_contain_text("The capital of Sweden is Stockholm")
    page.get_by_text("Teach the paraphrases too").click()
    page.get_by_text("Method and conditions").click()
    page.get_by_label("Neighbours, % at least").fill("90")
    expect(checks).to_contain_text("2 paraphrases are taught")
    expect(checks).to_contain_text("Nothing is written unless 90.0\u00a0% of the neighbours keep their answer.")


def test_a_fact_is_written_with_the_mouse(page: Page, sentence: Locator, http: httpx.Client) -> None:
    before = head(http)
    sentence.fill("The capital of Chad is")
    page.get_by_label("Subject", exact=True).fill("Chad")
    page.get_by_label("New object").fill("Lima")
    page.get_by_text("Paraphrases and neighbours", exact=True).click()
    page.get_by_label("Paraphrases, one a line").fill("The capital city of {} is called")
    page.get_by_label("Neighbours, one a line").fill("The capital of Sweden is")
    page.get_by_role("button", name="Write it into the model").click()
    job = ended(http, job_in(page))
    assert (job["status"], job["version"]) == ("succeeded", before + 1)
    report = page.get_by_role("region", name="Before and after")
    expect(report.locator(".fact-report").first).to_contain_text("The capital of Chad is Lima")
    expect(report.locator(".asked > li").first).to_contain_text("The capital city of Chad is called")
    expect(report.locator(".asked > li").last).to_contain_text("neighbour unchanged")
    expect(report.locator(".asked > li").last).to_contain_text("Stockholm")
    expect(page.get_by_role("region", name="Harm")).to_contain_text("the version before")


def test_a_fact_is_written_with_the_keyboard_alone(page: Page, sentence: Locator, http: httpx.Client) -> None:
    expect(sentence).to_be_visible()
    pressed(page, "Tab", "textarea.writing")
    page.keyboard.type("The chemical symbol of Iron is")
    page.keyboard.press("End")
    page.keyboard.press("Control+ArrowLeft")  # before "is"
    page.keyboard.press("Control+ArrowLeft")  # before "Iron"
    page.keyboard.press("Control+Shift+ArrowRight")
    pressed(page, "Tab", "button")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Subject", exact=True)).to_have_value("Iron")
    expect(sentence).to_be_focused()
    page.get_by_label("Subject", exact=True).focus()
    page.keyboard.press("Tab")
    page.keyboard.type("Na")
    page.keyboard.press("Enter")
    assert ended(http, job_in(page))["report"]["facts"][0]["object"] == "Na"
    expect(page.get_by_role("heading", level=1)).to_be_focused()


@pytest.mark.parametrize(
    ("prompt", "subject", "field", "why"),
    [
        ("", "", "Sentence", "Write the beginning of a sentence."),
        (NORWAY, "", "Subject", "Mark the subject"),
        (NORWAY, "Sweden", "Subject", "does not stand in the sentence"),
        ("Norway and Norway", "Norway", "Subject", "more than once"),
    ],
)
def test_what_is_missing_is_said_at_its_field(
    page: Page, sentence: Locator, prompt: str, subject: str, field: str, why: str
) -> None:
    sentence.fill(prompt)
    page.get_by_label("Subject", exact=True).fill(subject)
    page.get_by_role("button", name="Write it into the model").click()
    at = page.get_by_label(field, exact=True)
    expect(at).to_be_focused()
    expect(at).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text(why)).to_be_visible()
    assert "/jobs" not in page.url


def test_a_refusal_of_the_service_is_said_at_its_field(page: Page, sentence: Locator, watched: Watched) -> None:
    for path in ("/edits", "/query"):
        watched.may_be_refused(path)
    sentence.fill("It is said that " * 60 + "Norway is")
    page.get_by_label("Subject", exact=True).fill("Norway")
    page.get_by_label("New object").fill("Lima")
    page.get_by_role("button", name="Write it into the model").click()
    expect(sentence).to_have_attribute("aria-invalid", "true")
    expect(sentence).to_be_focused()


def test_many_facts_are_read_with_what_could_not_be(page: Page, http: httpx.Client) -> None:
    page.goto("/")
    page.get_by_text("Many facts", exact=True).click()
    area = page.get_by_label("Facts", exact=True)
    area.fill("Toronto\tThe country in which {} lies is\tItaly\tCanada\nno tabs here\nMumbai\t{} lies in\tSpain")
    expect(page.get_by_text("2 facts read as lines with tabs.")).to_be_visible()
    expect(page.get_by_text("line 2: needs subject, prompt and object")).to_be_visible()
    page.get_by_role("button", name="Write it into the model").click()
    expect(area).to_be_focused()
    expect(page.get_by_text("Mend or remove what could not be read.")).to_be_visible()
    area.fill(
        "Toronto\tThe country in which {} lies is\tItaly\tCanada\nMumbai\tOn a map of the world, {} lies in\tSpain"
    )
    page.get_by_role("button", name="Write it into the model").click()
    assert ended(http, job_in(page))["facts"] == 2
    expect(page.get_by_role("heading", level=1)).to_have_text("Edit of 2 facts")


def test_a_draft_outlasts_a_look_at_another_view(page: Page, sentence: Locator) -> None:
    sentence.fill(NORWAY)
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("History")
    page.get_by_role("link", name="Edit", exact=True).click()
    expect(page.get_by_label("Sentence", exact=True)).to_have_value(NORWAY)
