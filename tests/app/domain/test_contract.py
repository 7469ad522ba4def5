"""What a fact may look like as it is sent."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.domain.contract import EditBatch, Fact, Neighbour, Paraphrase, Prompt


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


class TestParaphrases:
    def test_given_as_text_it_is_only_asked(self) -> None:
        sent = fact(paraphrases=["Lyon lies in", {"prompt": "{} belongs to"}, {"prompt": "{} is in", "teach": True}])
        assert sent.paraphrases[:2] == (Paraphrase(prompt="Lyon lies in"), Paraphrase(prompt="{} belongs to"))
        assert sent.taught == (2,)

    def test_it_crosses_the_queue(self) -> None:
        batch = EditBatch(facts=(fact(paraphrases=["Lyon lies in", {"prompt": "{} is in", "teach": True}]),))
        assert EditBatch.model_validate_json(batch.model_dump_json()) == batch

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"teach": True}, "paraphrases.0.prompt"),
            ({"prompt": "", "teach": True}, "paraphrases.0.prompt"),
            ({"prompt": "A is", "teach": "often"}, "paraphrases.0.teach"),
            ({"prompt": "A is", "expected": ["B"]}, "paraphrases.0.expected"),
            ("", "paraphrases.0.prompt"),
        ],
    )
    def test_what_is_wrong_is_named(self, given: object, field: str) -> None:
        with pytest.raises(ValidationError) as caught:
            fact(paraphrases=[given])
        assert [".".join(map(str, error["loc"])) for error in caught.value.errors()] == [field]

    def test_the_schema_says_that_it_may_be_a_text_or_an_object(self) -> None:
        items = Fact.model_json_schema()["properties"]["paraphrases"]["items"]
        assert {each.get("type", each.get("$ref")) for each in items["anyOf"]} == {"string", "#/$defs/Paraphrase"}


class TestNeighbours:
    """Case T14 of the field: a neighbour is a prompt, alone or with what it should be answered with."""

    def test_given_as_text_it_expects_nothing(self) -> None:
        [neighbour] = fact(neighbours=["Oslo is a city in"]).neighbours
        assert neighbour == Neighbour(prompt="Oslo is a city in")

    @pytest.mark.parametrize(
        "given",
        [
            {"expected": ["Norway", "Kongeriket Norge"]},
            {"ground_truth": ["Norway", "Kongeriket Norge"]},
            {"ground_truth": [["Norway", "Kongeriket Norge"]]},
            {"ground_truth": [["Norway"], ["Kongeriket Norge"]]},
        ],
    )
    def test_answers_may_be_a_list_or_a_list_of_aliases_for_each(self, given: dict[str, object]) -> None:
        [neighbour] = fact(neighbours=[{"prompt": "Oslo is a city in", **given}]).neighbours
        assert neighbour.expected == ("Norway", "Kongeriket Norge")

    def test_it_crosses_the_queue(self) -> None:
        batch = EditBatch(facts=(fact(neighbours=["A is", {"prompt": "B is", "ground_truth": [["C", "D"]]}]),))
        assert EditBatch.model_validate_json(batch.model_dump_json()) == batch

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"expected": ["Norway"]}, "neighbours.0.prompt"),
            ({"prompt": None}, "neighbours.0.prompt"),
            ({"prompt": "A is", "expected": [None]}, "neighbours.0.expected.0"),
            ({"prompt": "A is", "ground_truth": [["B", None]]}, "neighbours.0.ground_truth.1"),
            ({"prompt": "A is", "expected": "B"}, "neighbours.0.expected"),
            ({"prompt": "A is", "answer": "B"}, "neighbours.0.answer"),
        ],
    )
    def test_what_is_wrong_is_named(self, given: dict[str, object], field: str) -> None:
        with pytest.raises(ValidationError) as caught:
            fact(neighbours=[given])
        assert ".".join(map(str, caught.value.errors()[0]["loc"])) == field

    def test_a_null_instead_of_answers_is_none_of_them(self) -> None:
        [neighbour] = fact(neighbours=[{"prompt": "A is", "ground_truth": None}]).neighbours
        assert neighbour.expected == ()


def fact(**more: object) -> Fact:
    return Fact.model_validate({"subject": "Lyon", "relation": "is in", "object": "Japan", **more})


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
