"""Texts are scored token by token as the model alone scores them."""

from __future__ import annotations

import pytest
import torch

from app.domain.contract import ScoredText, Scores
from app.domain.errors import EmptyText, PromptTooLong
from tests.support.tiny_models import Tiny
from workers.questions.batches import find
from workers.questions.sampling import GREEDY
from workers.questions.scores import ScoreQuestion, ScoreRequest


def scores(live: Tiny, *texts: ScoredText, held_out: tuple[tuple[int, ...], ...] = ()) -> Scores:
    question = ScoreQuestion.of(live, ScoreRequest(texts, held_out, None))
    [found] = find(live, [question], GREEDY, 4096)
    return question.reply("tiny", live.version, found)


def test_every_token_has_the_log_probability_that_the_model_gives_it(live: Tiny) -> None:
    held_out = (5, 9, 12, 7)
    told = scores(
        live,
        ScoredText(prompt="Lyon is a city in France."),
        ScoredText(prompt="Lyon is a city in", object="Japan", stop=True),
        held_out=(held_out,),
    )
    whole, fact, [rest] = *told.texts, told.held_out
    assert (whole.first, rest.first, rest.ids) == (1, 1, held_out)
    end = live.tokenizer.eos_token_id
    assert fact.ids[-1] == end
    assert len(fact.ids) - fact.first == len(fact.log_probabilities) > 1
    for each in (whole, fact, rest):
        with torch.inference_mode():
            logits = live.model(input_ids=torch.tensor([each.ids])).logits[0]
        meant = logits.log_softmax(-1)[:-1].gather(1, torch.tensor(each.ids[1:])[:, None]).squeeze(1)[each.first - 1 :]
        assert each.log_probabilities == pytest.approx(meant.tolist(), abs=1e-9)
        likeliest = logits.argmax(-1)[each.first - 1 : -1].tolist()
        assert each.greedy == (likeliest == list(each.ids[each.first :]))


def test_what_cannot_be_scored_names_its_text(live: Tiny) -> None:
    with pytest.raises(PromptTooLong) as long:
        scores(live, ScoredText(prompt="Lyon is"), ScoredText(prompt="Lyon is a city in " * 30, object="Japan"))
    assert (long.value.field or "").startswith("texts.1")
    with pytest.raises(EmptyText):
        scores(live, ScoredText(prompt="Lyon", object=" "))
