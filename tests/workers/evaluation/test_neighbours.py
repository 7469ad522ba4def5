"""T14: neighbours that carry what they should be answered with, any alias counting as right, as CounterFact counts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from app.domain.errors import PromptTooLong
from app.domain.manifest import LoggedFact, LoggedNeighbour
from tests.support.tiny_models import LANDS, Tiny, tiny
from workers.editing.model.editable_model import EditableModel
from workers.editing.text.model_text import ModelText
from workers.evaluation.askable import refuse_unaskable
from workers.evaluation.batch_report import compare, measure
from workers.evaluation.neighbours import answers_of, kept_right
from workers.questions.scoring import object_row

PROMPT = "People in Kyoto speak the language of"


@pytest.fixture(scope="module")
def editable() -> EditableModel:
    made: Tiny = tiny("gpt2")
    return EditableModel.of(made.model, made.tokenizer)


def fact(object_: str, *neighbours: LoggedNeighbour) -> LoggedFact:
    return LoggedFact(subject="Lyon", prompt="{} is a city in", object=object_, neighbours=neighbours)


def mean(editable: EditableModel, text: str) -> float:
    """By hand: the mean log-probability of the tokens of an answer."""
    prompt, wanted = object_row(ModelText.of(editable.tokenizer), PROMPT, text, editable.window, "text")
    with torch.no_grad():
        logits: Tensor = editable.model(input_ids=torch.tensor([[*prompt, *wanted]])).logits[0]
    found = logits.log_softmax(-1)[len(prompt) - 1 : -1].gather(-1, torch.tensor(wanted)[:, None])
    return float(found.mean())


def by_mean(editable: EditableModel, texts: Sequence[str]) -> list[str]:
    return sorted(texts, key=lambda text: mean(editable, text), reverse=True)


def right(editable: EditableModel, object_: str, *expected: str) -> bool:
    asked = fact(object_, LoggedNeighbour(prompt=PROMPT, expected=expected))
    [[found]] = kept_right(editable, [asked], answers_of(editable, [asked]))
    return found


def test_an_expected_answer_is_ahead_of_the_new_object_or_it_is_not(editable: EditableModel) -> None:
    best, *_, worst = by_mean(editable, LANDS)
    assert right(editable, worst, best)
    assert not right(editable, best, worst)


def test_any_alias_will_do(editable: EditableModel) -> None:
    best, second, *_, worst = by_mean(editable, LANDS)
    assert right(editable, second, worst, best)
    assert not right(editable, best, worst, second)


def test_long_answers_count_by_the_mean_of_their_tokens(editable: EditableModel) -> None:
    """As CounterFact's evaluation: by the product, the longer answer would nearly always lose."""
    long, short = "Japan and the country of Ghana and the river", by_mean(editable, LANDS)[-1]
    assert right(editable, short, long) == (mean(editable, long) > mean(editable, short))


def test_without_one_the_models_own_answer_counts(editable: EditableModel) -> None:
    asked = fact("Japan", LoggedNeighbour(prompt=PROMPT))
    before = measure(editable, [asked])
    [row] = compare([asked], before, measure(editable, [asked], before))
    assert (row.neighbours, row.neighbours_right) == ((True,), (True,))
    [[own]] = before.neighbours
    expected = mean(editable, own) > mean(editable, by_mean(editable, LANDS)[0])
    other = fact(by_mean(editable, LANDS)[0], LoggedNeighbour(prompt=PROMPT))
    assert kept_right(editable, [other], ((own,),)) == ((expected,),)


def test_where_the_new_object_is_the_right_answer_nothing_is_lost(editable: EditableModel) -> None:
    assert right(editable, "Japan", "Japan")


def test_one_that_does_not_fit_is_refused_before_anything_is_edited(editable: EditableModel) -> None:
    unsuited = fact("Japan", LoggedNeighbour(prompt=PROMPT, expected=("Ghana " * 60,)))
    with pytest.raises(PromptTooLong):
        refuse_unaskable(ModelText.of(editable.tokenizer), [unsuited], editable.window)
