"""What a fact may look like as it is sent."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.domain.contract import Fact


def test_white_space_around_subject_and_object_is_no_part_of_them() -> None:
    fact = Fact(subject=" Lyon", relation="is in", object="Japan\n", previous=" France ")
    assert (fact.subject, fact.object, fact.previous) == ("Lyon", "Japan", "France")


@pytest.mark.parametrize("text", [" ", "\n\t"])
def test_white_space_alone_is_left_to_whoever_refuses_an_empty_subject(text: str) -> None:
    fact = Fact(subject=text, relation="is in", object="Japan")
    assert Fact.model_validate_json(fact.model_dump_json()).subject == text


def test_a_null_list_is_an_empty_one() -> None:
    """Case T15 of the field: data sets have null where they have nothing."""
    fact = Fact.model_validate(
        {"subject": "Lyon", "relation": "is in", "object": "Japan", "paraphrases": None, "neighbours": None}
    )
    assert (fact.paraphrases, fact.neighbours) == ((), ())


@pytest.mark.parametrize("field", ["object", "subject", "paraphrases.0", "neighbours.0"])
def test_a_null_in_any_other_place_is_refused_where_it_stands(field: str) -> None:
    sent: dict[str, object] = {"subject": "Lyon", "relation": "is in", "object": "Japan"}
    name, _, index = field.partition(".")
    sent[name] = [None] if index else None
    with pytest.raises(ValidationError) as caught:
        Fact.model_validate(sent)
    assert [".".join(map(str, error["loc"])) for error in caught.value.errors()] == [field]
