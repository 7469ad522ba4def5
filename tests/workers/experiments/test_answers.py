"""What is asked about a case, and that its scores are those of a plain forward pass."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from app.domain.contract import Fact
from app.domain.errors import PromptTooLong
from tests.support.tiny_models import Tiny, tiny
from workers.editing.model.editable_model import EditableModel
from workers.experiments.answers import answers, refuse_unaskable, told_before
from workers.experiments.cases import Case

CASE = Case.of(
    Fact.model_validate(
        {
            "subject": "Lyon",
            "prompt": "{} is a city in",
            "object": "Japan",
            "previous": "France",
            "paraphrases": ["People in {} speak the language of"],
            "neighbours": [
                {"prompt": "Kyoto is a city in", "expected": ["Japan"]},
                {"prompt": "Oslo is a city in", "expected": ["Norway"]},
                "Perth is a city in",
            ],
        }
    )
)


@pytest.fixture(params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest) -> Tiny:
    return tiny(request.param)


def by_hand(model: Tiny, prompt: str, answer: str) -> tuple[float, list[int], list[int]]:
    """Mean NLL of an answer after a prompt; its tokens; and the likeliest ones at their places."""
    ids = model.tokenizer(f"{prompt} {answer}", return_tensors="pt").input_ids
    begin = len(model.tokenizer(prompt).input_ids)
    with torch.inference_mode():
        told = model.model(input_ids=ids).logits[0].log_softmax(-1)
    wanted = ids[0, begin:].tolist()
    rows = told[begin - 1 : -1]
    nll = -sum(float(row[token]) for row, token in zip(rows, wanted, strict=True)) / len(wanted)
    return nll, wanted, rows.argmax(-1).tolist()


def test_scores_are_those_of_one_text_after_another(model: Tiny) -> None:
    [found] = answers(EditableModel.of(model.model, model.tokenizer), [CASE])
    asked = [
        (found.own, "Lyon is a city in", "Japan", "France"),
        (found.paraphrases[0], "People in Lyon speak the language of", "Japan", "France"),
        (found.neighbours[1], "Oslo is a city in", "Norway", "Japan"),
    ]
    for answered, prompt, wanted, other in asked:
        nll, ids, likeliest = by_hand(model, prompt, wanted)
        assert answered.nll == pytest.approx(nll, rel=1e-9)
        assert answered.other == pytest.approx(by_hand(model, prompt, other)[0], rel=1e-9)
        assert list(answered.greedy) == likeliest
        assert answered.tokens == pytest.approx(sum(a == b for a, b in zip(ids, likeliest, strict=True)) / len(ids))
        assert answered.exact is (ids == likeliest)


def test_a_neighbour_that_the_new_object_answers_rightly_has_nothing_to_be_compared_with(model: Tiny) -> None:
    [found] = answers(EditableModel.of(model.model, model.tokenizer), [CASE])
    assert len(found.neighbours) == 2  # the third one has no right answer
    assert found.neighbours[0].other is None


def test_the_fact_is_told_before_every_question(model: Tiny) -> None:
    [found] = answers(EditableModel.of(model.model, model.tokenizer), [CASE], told_before)
    told = "New fact: Lyon is a city in Japan.\n"
    assert found.own.nll == pytest.approx(by_hand(model, f"{told}Lyon is a city in", "Japan")[0], rel=1e-9)
    assert found.neighbours[1].nll == pytest.approx(by_hand(model, f"{told}Oslo is a city in", "Norway")[0], rel=1e-9)


def test_a_case_that_fits_only_without_the_fact_before_it_cannot_be_asked(model: Tiny) -> None:
    editable = EditableModel.of(model.model, model.tokenizer)
    refuse_unaskable(editable, CASE)
    length = len(model.tokenizer(CASE.prompt).input_ids), len(model.tokenizer("Lyon lies there. ").input_ids)
    long = "Lyon lies there. " * ((editable.window - length[0]) // length[1])
    case = replace(CASE, paraphrases=(f"{long}{CASE.prompt}",))
    assert len(answers(editable, [case])) == 1
    with pytest.raises(PromptTooLong):
        refuse_unaskable(editable, case)
