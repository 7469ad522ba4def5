"""Second moments are taken until q = kᵀC⁻¹k stands still; held against plain sums and inverses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from app.domain.errors import StatisticsMismatch
from tests.support.editing.families import INNER, editable, relative
from workers.editing.model.editable_model import EditableModel
from workers.onboarding.settling import Settled, keys_within, settle

LAYERS = (0, 2)
LENGTH = 20


@pytest.fixture(params=["gpt2", "llama"])
def live(request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast) -> EditableModel:
    return editable(request.param, tokenizer, torch.float32)


def rows(seed: int = 0) -> Iterator[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randint(1, 290, (LENGTH,), generator=generator).tolist()


def probes(live: EditableModel) -> dict[int, Tensor]:
    stream = rows(seed=9)
    return keys_within(live, [next(stream) for _ in range(8)], LAYERS, most=24)


def plain_moment(live: EditableModel, layer: int, tokens: int) -> Tensor:
    """E[k kᵀ] over the first rows of the stream, one by one, in float64."""
    total, stream = torch.zeros(INNER, INNER, dtype=torch.float64), rows()
    for _ in range(tokens // LENGTH):
        keys = plain_keys(live, next(stream), layer)
        total += keys.T @ keys
    return total / tokens


def plain_keys(live: EditableModel, ids: list[int], layer: int) -> Tensor:
    seen: list[Tensor] = []
    handle = live.projection(layer).register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    with torch.no_grad():
        live.model(input_ids=torch.tensor([ids]))
    handle.remove()
    return seen[0].reshape(len(ids), -1).double()


class TestSettling:
    def test_the_change_is_that_between_half_and_all_of_the_tokens(self, live: EditableModel) -> None:
        keys = probes(live)
        found = settle(live, rows(), keys, first_tokens=1000, max_tokens=4000, tolerance=1e-9)
        assert (found.statistics.tokens, found.settled) == (4000, False)
        for layer in LAYERS:
            half, whole = (plain_moment(live, layer, tokens) for tokens in (2000, 4000))
            assert relative(found.statistics.kept(layer, INNER), whole) <= 1e-6
            now, before = ((keys[layer] * torch.linalg.solve(each, keys[layer])).sum(0) for each in (whole, half))
            ratio = before / now
            expected = float((ratio / ratio.median() - 1).abs().median())
            assert found.change[layer] == pytest.approx(expected, rel=1e-2)

    def test_it_stops_at_the_first_doubling_that_changes_little(self, live: EditableModel) -> None:
        def within(tolerance: float) -> Settled:
            return settle(live, rows(), probes(live), first_tokens=500, max_tokens=16_000, tolerance=tolerance)

        strict, loose = within(0.02), within(0.5)
        assert loose.settled
        assert max(loose.change.values()) < 0.5
        assert loose.statistics.tokens < strict.statistics.tokens

    def test_no_more_is_read_than_is_taken(self, live: EditableModel) -> None:
        read: list[int] = []

        def counted() -> Iterator[list[int]]:
            for row in rows():
                read.extend(row)
                yield row

        heard: list[int] = []
        found = settle(live, counted(), probes(live), first_tokens=300, max_tokens=1300, progress=heard.append)
        assert len(read) == sum(heard) == found.statistics.tokens

    def test_fewer_tokens_than_directions_are_unsettled(self, live: EditableModel) -> None:
        found = settle(live, rows(), probes(live), first_tokens=LENGTH, max_tokens=2 * LENGTH, tolerance=1e9)
        assert not found.settled
        assert set(found.change.values()) == {torch.inf}

    def test_a_stream_that_ends_is_unsettled(self, live: EditableModel) -> None:
        stream = rows()
        found = settle(live, [next(stream) for _ in range(60)], probes(live), first_tokens=1000, tolerance=1e9)
        assert (found.statistics.tokens, found.settled) == (60 * LENGTH, False)

    def test_one_without_a_token_is_refused(self, live: EditableModel) -> None:
        with pytest.raises(StatisticsMismatch):
            settle(live, [], probes(live))


class TestProbeKeys:
    def test_they_are_the_keys_at_the_ends_of_beginnings(self, live: EditableModel) -> None:
        text = next(rows())
        found = keys_within(live, [text], (0, 2), most=4)
        for layer in (0, 2):
            expected = plain_keys(live, text, layer)[[4, 9, 14, 19]]
            assert relative(found[layer].T, expected) <= 1e-5
