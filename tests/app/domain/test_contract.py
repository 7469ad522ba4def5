"""What a fact may look like as it is sent."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.domain.contract import Fact, Prompt


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


TURN = {"role": "user", "content": "In which city is Lyon?"}


@pytest.mark.parametrize(
    "ways",
    [{}, {"relation": "is in", "prompt": "{} is in"}, {"prompt": "{} is in", "messages": [TURN]}, {"chat": True}],
)
def test_a_fact_says_in_one_way_where_its_subject_stands(ways: dict[str, object]) -> None:
    """Case T7 of the field, and chats."""
    with pytest.raises(ValidationError):
        Fact.model_validate({"subject": "Lyon", "object": "Japan", **ways})


def test_a_fact_without_a_subject_is_refused_by_that_name() -> None:
    """Case T7 of the field."""
    with pytest.raises(ValidationError) as caught:
        Fact.model_validate({"prompt": "Lyon is in", "object": "Japan"})
    assert [error["loc"] for error in caught.value.errors()] == [("subject",)]


def test_a_chat_is_a_users_turn_or_the_messages_as_they_are() -> None:
    chat = Fact.model_validate({"subject": "Lyon", "object": "Japan", "relation": "is in", "chat": True})
    assert [(turn.role, turn.content) for turn in chat.conversation or ()] == [("user", "{} is in")]
    messages = Fact.model_validate({"subject": "Lyon", "object": "Japan", "messages": [TURN]})
    assert [turn.model_dump() for turn in messages.conversation or ()] == [TURN]
    assert Fact(subject="Lyon", object="Japan", relation="is in").conversation is None


@pytest.mark.parametrize("ways", [{}, {"prompt": "Lyon is in", "messages": [TURN]}, {"messages": []}])
def test_a_question_is_a_prompt_or_messages(ways: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Prompt.model_validate(ways)


@pytest.mark.parametrize(
    "message", [{"role": "tool", "content": "x"}, {"role": "user", "content": None}, {"role": "user"}]
)
def test_a_message_has_a_role_of_three_and_a_content(message: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Prompt.model_validate({"messages": [message]})
