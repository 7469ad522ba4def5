"""The second moment C of keys: streamed, bounded, tied to its model; and what solves take from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from app.domain.errors import LayerOutOfRange, StatisticsMismatch
from tests.support.editing.families import INNER, WINDOW, editable, random_second_moment, relative
from tests.workers.conftest import WORDS
from workers.editing.algebra.layer_base import LayerBase
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.model.editable_model import EditableModel
from workers.editing.moments import MomentSums
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource
from workers.editing.statistics import (
    Statistics,
    fingerprint,
    load_statistics,
    save_statistics,
    second_moments,
)

LAYERS = (0, 2)
LONG = " ".join(WORDS * 4)
TEXTS = [*WORDS, "", "Lyon", *WORDS[0].split(), LONG]


@pytest.fixture(params=["gpt2", "llama"])
def live(request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast) -> EditableModel:
    return editable(request.param, tokenizer, torch.float32)


def directly(live: EditableModel, texts: Sequence[str], layer: int) -> Tensor:
    """E[k kᵀ], one window at a time, without padding, in float64."""
    total, tokens = torch.zeros(INNER, INNER, dtype=torch.float64), 0
    for text in texts:
        ids = live.tokenizer(text)["input_ids"]
        for start in range(0, len(ids), WINDOW):
            keys = keys_of(live, ids[start : start + WINDOW], layer)
            total, tokens = total + keys.T @ keys, tokens + len(keys)
    return total / tokens


def keys_of(live: EditableModel, ids: list[int], layer: int) -> Tensor:
    """Keys (tokens, d_in), float64, of one row."""
    seen: list[Tensor] = []
    handle = live.projection(layer).register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    with torch.no_grad():
        live.model(input_ids=torch.tensor([ids]))
    handle.remove()
    return seen[0][0].double()


class TestStreaming:
    def test_it_is_the_mean_of_key_times_key_over_all_tokens(self, live: EditableModel) -> None:
        found = second_moments(live, iter(TEXTS), LAYERS)
        assert found.tokens == sum(len(live.tokenizer(text)["input_ids"]) for text in TEXTS)
        for layer in LAYERS:
            assert relative(found.kept(layer, INNER), directly(live, TEXTS, layer)) <= 1e-6

    @pytest.mark.parametrize("limit", [1, 40, 200, 10_000])
    def test_neither_micro_batches_nor_padding_change_it(self, live: EditableModel, limit: int) -> None:
        expected = second_moments(live, TEXTS, LAYERS)
        for texts in (TEXTS, sorted(TEXTS, key=len)):
            found = second_moments(live, texts, LAYERS, max_batch_tokens=limit)
            assert found.tokens == expected.tokens
            for layer in LAYERS:
                assert relative(found.kept(layer, INNER), expected.kept(layer, INNER)) <= 1e-6

    def test_no_token_of_a_long_text_is_lost(self, live: EditableModel) -> None:
        assert len(live.tokenizer(LONG)["input_ids"]) > 2 * WINDOW
        assert second_moments(live, [LONG], LAYERS).tokens == len(live.tokenizer(LONG)["input_ids"])

    @pytest.mark.parametrize("bound", [1, 50, 333])
    def test_an_endless_stream_ends_at_the_token_bound(self, live: EditableModel, bound: int) -> None:
        taken: list[int] = []

        def endless() -> Iterator[str]:
            while True:
                taken.append(1)
                yield WORDS[1]

        heard: list[int] = []
        found = second_moments(live, endless(), LAYERS, max_tokens=bound, max_batch_tokens=100, progress=heard.append)
        assert bound <= found.tokens < bound + 100
        assert sum(heard) == found.tokens
        assert len(taken) <= 2 + found.tokens // 10

    def test_it_does_not_depend_on_an_ordering_of_layers(self, live: EditableModel) -> None:
        one, both = (second_moments(live, TEXTS, layers) for layers in ((2,), (2, 0)))
        assert torch.equal(one.second_moments[2], both.second_moments[2])

    def test_it_is_symmetric_where_the_processors_products_are_not(
        self, live: EditableModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Played: above the diagonal they come out one representable number higher."""
        here = Tensor.__matmul__

        def elsewhere(one: Tensor, other: Tensor) -> Tensor:
            product = here(one, other)
            higher = product.nextafter(torch.tensor(torch.inf))
            return (
                torch.where(torch.ones(INNER, INNER).triu(1) > 0, higher, product) if len(product) == INNER else product
            )

        expected = second_moments(live, TEXTS, LAYERS)
        monkeypatch.setattr(Tensor, "__matmul__", elsewhere)
        found = second_moments(live, TEXTS, LAYERS)
        for layer in LAYERS:
            moment = found.second_moments[layer]
            assert torch.equal(moment, moment.T)
            assert 0 < relative(moment, expected.second_moments[layer]) <= 1e-6

    @pytest.mark.parametrize("limit", [1, 40, 10_000])
    def test_which_tokens_are_taken_does_not_depend_on_the_micro_batches(self, live: EditableModel, limit: int) -> None:
        expected = second_moments(live, TEXTS, LAYERS, max_tokens=60)
        found = second_moments(live, TEXTS, LAYERS, max_tokens=60, max_batch_tokens=limit)
        assert found.tokens == expected.tokens
        assert relative(found.kept(2, INNER), expected.kept(2, INNER)) <= 1e-6

    def test_the_pass_ends_at_the_last_layer(self, live: EditableModel) -> None:
        seen: list[int] = []
        handles = [
            block.register_forward_pre_hook(lambda _m, _a, layer=layer: seen.append(layer))
            for layer, block in enumerate(live.anatomy.blocks)
        ]
        second_moments(live, TEXTS, (1, 0))
        for handle in handles:
            handle.remove()
        assert set(seen) == {0, 1}

    def test_rows_of_one_length_meet_though_they_come_in_any_order(self, live: EditableModel) -> None:
        shapes: list[tuple[int, ...]] = []
        handle = live.projection(0).register_forward_pre_hook(lambda _m, args: shapes.append(args[0].shape[:-1]))
        rows = [[5] * length for length in (1, 40) * 10]
        MomentSums(live, (0,), max_batch_tokens=40).add(rows)
        handle.remove()
        assert sum(torch.Size(shape).numel() for shape in shapes) == sum(map(len, rows))

    def test_the_same_twice_is_the_same_to_the_bit(self, live: EditableModel) -> None:
        one, other = (second_moments(live, TEXTS, LAYERS, max_batch_tokens=100) for _ in range(2))
        assert all(torch.equal(one.second_moments[layer], other.second_moments[layer]) for layer in LAYERS)

    def test_no_hook_stays(self, live: EditableModel) -> None:
        second_moments(live, TEXTS, LAYERS)
        assert not any(module._forward_pre_hooks for module in live.model.modules())

    @pytest.mark.parametrize("texts", [[], [""], ["", ""]])
    def test_a_corpus_without_a_token_is_refused(self, live: EditableModel, texts: list[str]) -> None:
        with pytest.raises(StatisticsMismatch):
            second_moments(live, texts, LAYERS)

    def test_a_layer_that_is_not_there_is_refused(self, live: EditableModel) -> None:
        with pytest.raises(LayerOutOfRange):
            second_moments(live, TEXTS, (0, 9))


class TestFiles:
    def test_what_was_saved_comes_back(self, live: EditableModel, tmp_path: Path) -> None:
        found = second_moments(live, TEXTS, LAYERS)
        save_statistics(found, tmp_path / "deep" / "c.safetensors")
        back = load_statistics(tmp_path / "deep" / "c.safetensors", live)
        assert (back.tokens, back.fingerprint) == (found.tokens, fingerprint(live))
        assert all(torch.equal(back.second_moments[layer], found.second_moments[layer]) for layer in LAYERS)
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["c.safetensors"]

    def test_another_models_statistics_are_refused(self, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
        save_statistics(second_moments(editable("gpt2", tokenizer), TEXTS, LAYERS), tmp_path / "c.safetensors")
        other = editable("gpt2", tokenizer)
        other.model.get_parameter("transformer.h.1.ln_1.weight").data[3] += 0.1
        with pytest.raises(StatisticsMismatch) as caught:
            load_statistics(tmp_path / "c.safetensors", other)
        assert (caught.value.field, caught.value.value) == ("statistics", "c.safetensors")

    def test_a_file_made_elsewhere_is_taken_without_a_fingerprint(self, live: EditableModel, tmp_path: Path) -> None:
        moment = random_second_moment(INNER)
        save_file({"layer.2": moment, "note": torch.zeros(1)}, tmp_path / "c.safetensors")
        found = load_statistics(tmp_path / "c.safetensors", live)
        assert torch.equal(found.kept(2, INNER), moment)

    def test_a_missing_layer_is_named(self) -> None:
        with pytest.raises(StatisticsMismatch) as caught:
            Statistics({0: random_second_moment(INNER)}, tokens=1).kept(3, INNER)
        assert (caught.value.field, caught.value.value) == ("layers", 3)
        assert "3" in caught.value.detail

    def test_a_wrong_width_is_named(self) -> None:
        with pytest.raises(StatisticsMismatch) as caught:
            Statistics({0: random_second_moment(24)}, tokens=1).kept(0, INNER)
        assert caught.value.value == 0
        assert "24" in caught.value.detail
        assert str(INNER) in caught.value.detail


def free_directions(moment: Tensor, threshold: float) -> Tensor:
    """Q (d_in, q)."""
    basis = LayerBase.of(moment).null_space(threshold).basis
    assert basis is not None
    return basis


class TestNullSpace:
    @pytest.mark.parametrize("threshold", [1e-6, 0.02, 2.0])
    def test_it_is_orthonormal_and_c_is_small_on_it(self, threshold: float) -> None:
        moment = random_second_moment(INNER)
        basis = free_directions(moment, threshold)
        identity = torch.eye(basis.shape[1], dtype=torch.float64)
        assert basis.shape == (INNER, {1e-6: 0, 0.02: INNER // 2, 2.0: INNER}[threshold])
        assert torch.allclose(basis.T @ basis, identity, atol=1e-12)
        projector = basis @ basis.T
        assert float(torch.linalg.matrix_norm(projector @ moment, 2) if basis.shape[1] else 0.0) < threshold

    def test_what_was_left_out_is_large(self) -> None:
        moment = random_second_moment(INNER)
        basis = free_directions(moment, 0.02)
        others = torch.eye(INNER, dtype=torch.float64) - basis @ basis.T
        seen = torch.linalg.eigvalsh(others @ moment @ others)
        assert torch.allclose(seen[INNER // 2 :], torch.ones(INNER // 2, dtype=torch.float64))

    def test_priors_keep_it_since_it_depends_on_layer_and_threshold_alone(self, live: EditableModel) -> None:
        source = PriorSource(live, Statistics({0: random_second_moment(INNER)}, tokens=1))
        first, later = source.at(0), source.at(0, PreviousKeys.empty(INNER).append(keys_of(live, [5, 6, 7], 0).T))
        assert first.base.null_space(0.02) is later.base.null_space(0.02)
        assert first.base.weighted is later.base.weighted
        assert first.base.null_space(0.02) is not first.base.null_space(2.0)

    def test_layers_that_cannot_be_solved_at_are_refused_beforehand(self, live: EditableModel) -> None:
        source = PriorSource(live, Statistics({0: random_second_moment(INNER)}, tokens=1))
        source.check(Preset((0,)))
        with pytest.raises(StatisticsMismatch):
            source.check(Preset((0, 1, 2)))
        with pytest.raises(LayerOutOfRange):
            source.check(Preset((0, 1, 9)))
