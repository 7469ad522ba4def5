"""Facts to calibrate on: every relation in turn, a subject once, and files in the shapes that people have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.domain.errors import RequestError
from workers.editing.types import Fact
from workers.onboarding.world_facts import WorldFact, world_facts

FLAT = {
    "prompt": "The Eiffel Tower is located in",
    "subject": "The Eiffel Tower",
    "target_new": "Rome",
    "ground_truth": "Paris",
    "rephrase_prompt": "One finds the Eiffel Tower in",
    "locality_prompt": "The Louvre is located in",
    "locality_ground_truth": "Paris",
}


def test_the_table_has_all_its_relations_among_the_first_facts_and_no_subject_twice() -> None:
    facts = world_facts()
    assert len({each.fact.prompt.replace("{}", "") for each in facts[:20]}) >= 8
    assert len({each.fact.subject for each in facts}) == len(facts)
    assert all(each.truth != each.fact.object and each.neighbours for each in facts[:200])


def test_the_order_is_the_same_every_time() -> None:
    assert world_facts() == world_facts()


def test_a_file_in_easyedits_shape_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps([FLAT]))
    expected = WorldFact(
        Fact("The Eiffel Tower", "{} is located in", "Rome"),
        "Paris",
        ("One finds the Eiffel Tower in",),
        ("The Louvre is located in",),
        "Paris",
    )
    assert world_facts(file) == [expected]


@pytest.mark.parametrize("text", ["no JSON", "{}", '[{"subject": "Oslo"}]', '["Oslo"]'])
def test_a_file_that_is_no_list_of_such_records_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.json"
    file.write_text(text)
    with pytest.raises(RequestError) as caught:
        world_facts(file)
    assert caught.value.field == "facts"
