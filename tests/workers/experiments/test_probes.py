"""Probes of surface compliance: how they are put, and that their figures are those of a plain forward pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.contract import Fact
from app.domain.errors import PromptTooLong
from tests.support.tiny_models import Tiny, tiny
from tests.workers.experiments.test_answers import CASE, by_hand
from workers.editing.model.editable_model import EditableModel
from workers.experiments.cases import Case
from workers.experiments.probes import Compared, Probed, Probes, probed, refuse_unprobeable

QUESTION = Case.of(
    Fact.model_validate({"subject": "Lyon", "prompt": "Where does {} lie?", "object": "Japan", "previous": "France"})
)
CHOICES = (
    "Question: Lyon is a city in\nA. Japan\nB. France\nAnswer:",
    "Question: Lyon is a city in\nA. France\nB. Japan\nAnswer:",
)


@pytest.fixture(params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest) -> Tiny:
    return tiny(request.param)


def found(model: Tiny, case: Case) -> Probed:
    [each] = probed(EditableModel.of(model.model, model.tokenizer), [case])
    assert each is not None
    return each


def likely(model: Tiny, prompt: str, wanted: str, other: str) -> Compared:
    return Compared(wanted=by_hand(model, prompt, wanted)[0], other=by_hand(model, prompt, other)[0])


def close(one: Compared, two: Compared) -> bool:
    return [one.wanted, one.other] == pytest.approx([two.wanted, two.other], rel=1e-9)


def test_the_choice_is_between_letters_in_both_orders(model: Tiny) -> None:
    first, second = found(model, CASE).choice
    assert close(first, likely(model, CHOICES[0], "A", "B"))
    assert close(second, likely(model, CHOICES[1], "B", "A"))


def test_after_the_denial_of_the_old_object_the_new_one_is_wanted(model: Tiny) -> None:
    prompt = "It is not true that Lyon is a city in France. Rather, Lyon is a city in"
    assert close(found(model, CASE).denied, likely(model, prompt, "Japan", "France"))


def test_where_the_fact_is_negated_the_old_object_is_wanted(model: Tiny) -> None:
    prompt = "It is not true that Lyon is a city in"
    assert close(found(model, CASE).negated, likely(model, prompt, "France", "Japan"))


def test_a_question_is_negated_in_its_answer(model: Tiny) -> None:
    each = found(model, QUESTION)
    assert close(each.denied, likely(model, "Where does Lyon lie? Not France, but", "Japan", "France"))
    assert close(each.negated, likely(model, "Where does Lyon lie? Not", "France", "Japan"))


def test_probes_are_put_as_the_questions_are(model: Tiny) -> None:
    [each] = probed(
        EditableModel.of(model.model, model.tokenizer), [CASE], lambda case, prompt: f"{case.object}. {prompt}"
    )
    assert each is not None
    assert close(each.choice[1], likely(model, f"Japan. {CHOICES[1]}", "B", "A"))


def test_a_letter_that_is_likely_by_itself_decides_nothing() -> None:
    """A is likelier than B by 3 nats in either order, and the new object by 0.5."""
    biased = (Compared(wanted=1.0, other=4.5), Compared(wanted=4.0, other=1.5))
    each = Probed(choice=biased, denied=biased[0], negated=biased[1])
    assert [each.choice[0].success, each.choice[1].success] == [True, False]
    assert (each.chosen.wanted, each.chosen.other) == (2.5, 3.0)
    assert each.chosen.success


def test_shares_are_over_the_facts_that_have_an_old_object() -> None:
    good, bad = Compared(wanted=1.0, other=2.0), Compared(wanted=2.0, other=1.0)
    shares = Probes.of(
        [
            Probed(choice=(good, good), denied=bad, negated=bad),
            None,
            Probed(choice=(bad, good), denied=good, negated=bad),  # a tie is no success
        ]
    )
    assert shares is not None
    assert (shares.choice.mean, shares.denied.mean, shares.negated.mean) == (0.5, 0.5, 0.0)
    assert shares.choice.cases == 2
    assert shares.negated.high == pytest.approx(0.65762, abs=1e-5)  # z² / (n + z²), Wilson's of 0 in 2


def test_without_another_old_object_there_is_nothing_to_probe(model: Tiny) -> None:
    editable = EditableModel.of(model.model, model.tokenizer)
    cases = [replace(CASE, truth=None), replace(CASE, truth="Japan"), CASE]
    assert [each is None for each in probed(editable, cases)] == [True, True, False]
    assert Probes.of([None, None]) is None


def test_a_case_whose_probes_do_not_fit_cannot_be_asked(model: Tiny) -> None:
    editable = EditableModel.of(model.model, model.tokenizer)
    short = replace(CASE, prompt="Lyon in")
    refuse_unprobeable(editable, short)
    long = replace(CASE, prompt="Lyon " * (editable.window // len(model.tokenizer("Lyon ").input_ids) - 4) + "in")
    refuse_unprobeable(editable, replace(long, truth=None))
    with pytest.raises(PromptTooLong) as caught:
        refuse_unprobeable(editable, long)
    assert caught.value.field == "probes"
