"""Continuations are those of a plain loop without padding and cache, whatever is continued together."""

from __future__ import annotations

import pytest
import torch
from transformers import LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerFast

from tests.support.editing.families import FAMILIES, SLIDING, WINDOW, random_model
from tests.support.tiny_models import tokenizer
from workers.questions.decoding import Start, continuations

NO_END = 299
"""An id that these models hardly ever choose."""


@pytest.fixture(scope="module")
def words() -> PreTrainedTokenizerFast:
    return tokenizer(begin=False)


def random_row(length: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 290, (length,), generator=generator).tolist()


@torch.inference_mode()
def plainly(model: PreTrainedModel, start: Start) -> list[int]:
    ids = list(start.ids)
    while len(ids) - len(start.ids) < start.limit and len(ids) <= WINDOW:
        token = int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if token == model.generation_config.eos_token_id:
            break
        ids.append(token)
    return ids[len(start.ids) :]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_continues_rows_of_any_length_and_limit_together(
    family: str, words: PreTrainedTokenizerFast
) -> None:
    model = random_model(FAMILIES[family].config(), torch.float64).train(mode=False)
    model.generation_config.eos_token_id = NO_END
    starts = [
        Start(random_row(length, seed), limit)
        for seed, (length, limit) in enumerate([(1, 9), (5, 3), (SLIDING + 4, 6), (WINDOW - 2, 9), (WINDOW, 9), (7, 0)])
    ]
    together = continuations(model, words, starts, max_batch_tokens=10_000)
    assert [found.new for found in together] == [plainly(model, start) for start in starts]


class TestEnds:
    def test_the_end_token_ends_a_row_and_leaves_the_others_alone(self, words: PreTrainedTokenizerFast) -> None:
        model = random_model(FAMILIES["llama"].config(), torch.float64).train(mode=False)
        model.generation_config.eos_token_id = NO_END
        starts = [Start(random_row(4, 1), 8), Start(random_row(6, 2), 8)]
        free = [plainly(model, start) for start in starts]
        model.generation_config.eos_token_id = [free[0][3], NO_END]
        found = continuations(model, words, starts, max_batch_tokens=1000)
        assert found[0].new == free[0][: free[0].index(free[0][3])]
        assert found[1].new == plainly(model, starts[1])

    def test_the_next_tokens_can_be_named_without_choosing_one(self, words: PreTrainedTokenizerFast) -> None:
        model = random_model(FAMILIES["llama"].config(), torch.float64).train(mode=False)
        row = random_row(5, 3)
        [silent, more] = continuations(
            model, words, [Start(row, 0, top=3), Start(row, 4, top=5)], max_batch_tokens=1000
        )
        with torch.inference_mode():
            best = model(input_ids=torch.tensor([row])).logits[0, -1].softmax(-1).topk(5)
        assert silent.new == []
        assert [token for token, _ in more.top] == best.indices.tolist()
        assert [share for _, share in more.top] == pytest.approx(best.values.tolist())
        assert [token for token, _ in silent.top] == best.indices.tolist()[:3]


def test_processors_see_the_rows_of_their_own_micro_batch(words: PreTrainedTokenizerFast) -> None:
    model = random_model(FAMILIES["llama"].config(), torch.float64).train(mode=False)
    chosen: list[list[int]] = []

    def processing(indices: list[int]) -> LogitsProcessorList:
        chosen.append(indices)
        return LogitsProcessorList()

    starts = [Start(random_row(length, length), 2) for length in (9, 3, 9, 3)]
    continuations(model, words, starts, max_batch_tokens=2 * 11, processing=processing)
    assert chosen == [[1, 3], [0, 2]]


def test_a_pass_that_is_refused_ends_the_work(words: PreTrainedTokenizerFast) -> None:
    model = random_model(FAMILIES["llama"].config(), torch.float64).train(mode=False)
    model.generation_config.eos_token_id = NO_END
    passes = 0

    def before_pass() -> None:
        nonlocal passes
        passes += 1
        if passes == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        continuations(model, words, [Start([1, 2], 9)], max_batch_tokens=100, before_pass=before_pass)
    assert passes == 3
