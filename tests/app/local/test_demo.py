"""What the demo asks and counts; the demo itself is run by tests/e2e and by hand."""

from __future__ import annotations

import pytest

from app.domain.contract import EditBatch
from app.domain.prompts import SLOT, filled
from app.domain.smollm2 import FALLBACK, NAME
from app.local.demo import CHAT, NEIGHBOUR, NEW, SENTENCE, Asked, demo_facts, questions


@pytest.mark.parametrize("model", [NAME, FALLBACK])
def test_its_facts_are_ones_that_can_be_posted(model: str) -> None:
    facts = demo_facts(model)
    batch = EditBatch(facts=tuple(fact.sent for fact in facts), model=model)
    assert EditBatch.model_validate_json(batch.model_dump_json(exclude_none=True)) == batch
    assert len({fact.subject for fact in facts}) == len(facts) >= 10


def test_each_fact_of_the_real_model_is_asked_in_text_in_chat_in_a_sentence_and_beside() -> None:
    for fact in demo_facts(NAME):
        asked = questions(fact)
        assert [each.column for each in asked] == [NEW, CHAT, SENTENCE, NEIGHBOUR]
        assert [each.chat for each in asked] == [False, True, False, False]
        assert all(fact.subject in each.prompt for each in asked[:3])
        assert not any(SLOT in each.prompt or fact.object in each.prompt for each in asked)
        assert asked[3].wanted != fact.object


def test_no_question_in_chat_is_the_edited_prompt_itself() -> None:
    for fact in demo_facts(NAME):
        assert fact.question != filled(fact.template, fact.subject)


@pytest.mark.parametrize(("text", "good"), [(" Rome, Italy.", True), ("It is in rome.", True), (" Paris.", False)])
def test_an_answer_is_good_that_holds_what_is_wanted(text: str, good: bool) -> None:
    assert Asked(NEW, "The Eiffel Tower is in", "Rome").good(text) is good
