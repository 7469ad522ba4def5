"""What the page reads out of pasted text, and how it compares texts: its modules, asked in the browser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page

LYON = {"subject": "Lyon", "prompt": "{} lies in", "object": "Japan"}
COUNTERFACT = {
    "case_id": 7,
    "requested_rewrite": {
        "prompt": "{} lies in",
        "subject": "Lyon",
        "target_new": {"str": "Japan"},
        "target_true": {"str": "France"},
    },
    "paraphrase_prompts": ["Lyon is found in"],
    "neighborhood_prompts": ["Marseille lies in"],
}


@pytest.fixture
def opened(page: Page) -> Page:
    page.goto("/")
    return page


def called(page: Page, module: str, function: str, *given: object) -> Any:
    return page.evaluate(
        "async ([module, name, given]) => (await import(`/page/${module}`))[name](...given)", [module, function, given]
    )


@pytest.mark.parametrize(
    "text",
    [
        "Lyon\t{} lies in\tJapan",
        "\n  Lyon \t{} lies in\t Japan\r\n\n",
        "object\tsubject\tprompt\nJapan\tLyon\t{} lies in",
        json.dumps(LYON),
        json.dumps([LYON], indent=2),
        json.dumps({"facts": [LYON]}),
    ],
)
def test_a_fact_is_read_from_every_form(opened: Page, text: str) -> None:
    assert called(opened, "reading/many.js", "readFacts", text)["facts"] == [LYON]


def test_json_lines_are_read_line_by_line(opened: Page) -> None:
    read = called(opened, "reading/many.js", "readFacts", f"{json.dumps(LYON)}\n{json.dumps(LYON)}\n{{oops")
    assert read["facts"] == [LYON, LYON]
    assert [fault["where"] for fault in read["faults"]] == ["line 3"]


def test_a_record_of_counterfact_keeps_what_it_has(opened: Page) -> None:
    read = called(opened, "reading/many.js", "readFacts", json.dumps([COUNTERFACT]))
    asked = {"paraphrases": ["Lyon is found in"], "neighbours": ["Marseille lies in"]}
    assert read["facts"] == [LYON | {"previous": "France", "id": "7"} | asked]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("Lyon\tJapan", "line 1"),
        ('[{"subject": "Lyon", "object": "Japan"}]', "record 1"),
        ("[3]", "record 1"),
        ("[null]", "record 1"),
        ("{]", "the text"),
        (json.dumps([{**COUNTERFACT, "requested_rewrite": {}}]), "record 1"),
    ],
)
def test_what_is_no_fact_is_said_with_its_place(opened: Page, text: str, where: str) -> None:
    read = called(opened, "reading/many.js", "readFacts", text)
    assert read["facts"] == []
    assert [fault["where"] for fault in read["faults"]] == [where]


def test_a_subject_with_signs_of_its_own_is_put_into_its_slot_as_it_is(opened: Page) -> None:
    assert called(opened, "reading/places.js", "asked", "The {} is", "$& $1") == "The $& $1 is"


@pytest.mark.parametrize(
    ("left", "right", "marked"),
    [
        ("in France.", "in Japan.", [[" France"], [" Japan"]]),
        ("the same", "the same", [[], []]),
        ("a b c", "a c", [[" b"], []]),
        ("", "new", [[], ["new"]]),
    ],
)
def test_words_that_only_one_text_has_are_marked(opened: Page, left: str, right: str, marked: list[list[str]]) -> None:
    parts = called(opened, "reading/differences.js", "differences", left, right)
    assert [[part["text"] for part in side if part["differs"]] for side in parts] == marked
    assert ["".join(part["text"] for part in side) for side in parts] == [left, right]
