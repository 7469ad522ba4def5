"""Facts that a model knows, and the roles of their tokens."""

from __future__ import annotations

import pytest

from tests.support.tiny_models import saying
from workers.causal_tracing.recall import Recalled, Role, recalled, subject_deviation
from workers.editing.model.editable_model import EditableModel
from workers.editing.types import Fact

PROMPT = "The river runs through {}, in the country of"


@pytest.fixture(params=["gpt2", "llama"], scope="module")
def model(request: pytest.FixtureRequest) -> EditableModel:
    found = saying(request.param, " Japan")
    return EditableModel.of(found.model, found.tokenizer)


def test_a_fact_is_known_where_its_objects_first_token_is_the_likeliest(model: EditableModel) -> None:
    facts = [Fact("Kyoto", PROMPT, "Japan"), Fact("Lyon", PROMPT, "France"), Fact("Accra", PROMPT, "Japan")]
    known = list(recalled(model, facts))
    assert [model.tokenizer.decode(list(each.ids[each.begin : each.end])) for each in known] == [" Kyoto", " Accra"]
    assert {model.tokenizer.decode([each.answer]) for each in known} == {" Japan"}


def test_a_fact_that_is_longer_than_the_window_is_left_out(model: EditableModel) -> None:
    assert list(recalled(model, [Fact("Kyoto", "word " * model.window + PROMPT, "Japan")])) == []


def test_the_deviation_is_that_of_all_numbers_of_the_subjects_embeddings(model: EditableModel) -> None:
    facts = [Recalled((5, 6, 7, 8), 1, 3, 0), Recalled((9, 10), 0, 1, 0)]
    weights = next(model.model.get_input_embeddings().parameters()).detach()
    assert subject_deviation(model, facts) == pytest.approx(float(weights[[6, 7, 9]].std()), rel=1e-9)


class TestRoles:
    def test_are_those_of_the_paper(self) -> None:
        assert Recalled(tuple(range(9)), 1, 5, 0).roles() == [
            None,
            Role.FIRST_SUBJECT,
            Role.MIDDLE_SUBJECT,
            Role.MIDDLE_SUBJECT,
            Role.LAST_SUBJECT,
            Role.FIRST_AFTER,
            Role.FURTHER,
            Role.FURTHER,
            Role.LAST,
        ]

    def test_the_only_token_of_a_subject_is_its_last(self) -> None:
        assert Recalled((1, 2, 3), 0, 1, 0).roles() == [Role.LAST_SUBJECT, Role.FIRST_AFTER, Role.LAST]
