"""Ask: two versions side by side."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import Watched, head

QUESTION = "Lyon is located in the country of"


@pytest.fixture
def asking(page: Page, written: dict[str, Any]) -> Page:
    page.goto("/#/ask")
    page.get_by_label("Earlier version").select_option("0")
    page.get_by_label("Later version").select_option(str(written["version"]))
    return page


def test_two_versions_answer_side_by_side_and_what_differs_is_marked(asking: Page, written: dict[str, Any]) -> None:
    asking.get_by_label("Question").fill(QUESTION)
    asking.get_by_role("button", name="Ask both").click()
    for version, said in ((0, "France"), (written["version"], "Japan")):
        side = asking.get_by_role("region", name=f"Version {version}")
        expect(side.locator(".answer")).to_contain_text(f"{QUESTION} {said}")
        expect(side.locator("mark").first).to_have_text(said)
        expect(side.locator(".bars li")).to_have_count(5)
        expect(side.locator(".bars li").first).to_contain_text(said)
        expect(side.locator(".bars .differs").first).to_contain_text(said)
    expect(asking.locator("#announcer")).to_contain_text("They differ.")


def test_a_question_is_asked_with_the_keyboard(asking: Page) -> None:
    asking.get_by_label("Question").focus()
    asking.keyboard.type(QUESTION)
    asking.keyboard.press("Control+Enter")
    expect(asking.locator(".answer")).to_have_count(2)


def test_one_version_is_asked_alone(asking: Page, http: httpx.Client) -> None:
    for side in ("Earlier version", "Later version"):
        asking.get_by_label(side).select_option(str(head(http)))
    asking.get_by_label("Question").fill(QUESTION)
    asking.get_by_role("button", name="Ask both").click()
    expect(asking.locator(".answer")).to_have_count(1)
    expect(asking.locator("mark")).to_have_count(0)


def test_a_model_without_a_chat_template_says_so(asking: Page, watched: Watched) -> None:
    watched.may_be_refused("/query")
    asking.get_by_text("Chat", exact=True).click()
    asking.get_by_label("Question").fill("Where is Lyon?")
    asking.get_by_role("button", name="Ask both").click()
    expect(asking.get_by_role("alert")).to_contain_text("no chat template")


def test_nothing_asked_is_said_at_the_field(asking: Page) -> None:
    asking.get_by_role("button", name="Ask both").click()
    expect(asking.get_by_label("Question")).to_be_focused()
    expect(asking.get_by_text("Write something to ask.")).to_be_visible()


def test_a_chat_goes_on_from_what_each_version_has_said(asking: Page) -> None:
    asked: list[list[dict[str, str]]] = []

    def reply(route: Any) -> None:
        body = route.request.post_data_json
        messages = body["prompts"][0]["messages"]
        asked.append(messages)
        said = f"reply {len(messages)} of {body['version']}"
        answer: dict[str, Any] = {"prompt": "", "text": said, "expected": None, "candidates": [], "top": []}
        route.fulfill(json={"model": "atlas-gpt2", "version": body["version"], "answers": [answer]})

    asking.route("**/query", reply)
    asking.get_by_text("Chat", exact=True).click()
    for turn in ("Hello", "And then?"):
        asking.get_by_label("Question").fill(turn)
        asking.get_by_role("button", name="Ask both").click()
        expect(asking.get_by_label("Question")).to_have_value("")
    expect(asking.locator(".answer").first).to_contain_text("reply 3")
    for messages in asked[2:]:
        assert [message["role"] for message in messages] == ["user", "assistant", "user"]
        assert [messages[0]["content"], messages[2]["content"]] == ["Hello", "And then?"]
    assert {messages[1]["content"] for messages in asked[2:]} != {asked[2][1]["content"]}
