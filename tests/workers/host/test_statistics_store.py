"""Where statistics come from at a start: the file, the corpus, or what the model writes itself."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from app.domain.errors import StatisticsMismatch
from tests.support.editing.families import INNER, editable, relative
from tests.workers.conftest import WORDS
from workers.editing.model.editable_model import EditableModel
from workers.editing.statistics import second_moments
from workers.host import statistics_store
from workers.host.statistics_store import CORPUS, find_statistics, kept_texts, statistics_path
from workers.onboarding.kept_texts import KeptTexts
from workers.onboarding.own_statistics import own_statistics
from workers.onboarding.own_texts import held_out_texts

MOST = 2000


@pytest.fixture
def live(tokenizer: PreTrainedTokenizerFast) -> EditableModel:
    return editable("llama", tokenizer, torch.float32)


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "mine").mkdir()
    return str(tmp_path / "mine")


@pytest.fixture(autouse=True)
def _few_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics_store, "own_statistics", partial(own_statistics, max_tokens=MOST))


class TestWithoutACorpus:
    def test_the_model_writes_its_own_once(
        self, live: EditableModel, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard: list[int] = []
        made = find_statistics(live, source, (0, 2), tmp_path, None, progress=heard.append)
        assert made.tokens == sum(heard) >= MOST
        monkeypatch.setattr(statistics_store, "own_statistics", None)
        again = find_statistics(live, source, (2,), tmp_path, None)
        assert all(torch.equal(again.second_moments[layer], made.second_moments[layer]) for layer in (0, 2))

    def test_c_is_over_the_texts_that_are_kept_and_those_held_out_are_others(
        self, live: EditableModel, source: str, tmp_path: Path
    ) -> None:
        made = find_statistics(live, source, (1,), tmp_path, None)
        kept = KeptTexts.beside(statistics_path(live, source, tmp_path))
        assert kept is not None
        assert (kept.tokens, sum(map(len, kept.texts))) == (made.tokens, made.tokens)
        assert not set(kept.texts) & set(kept.held_out)
        assert kept_texts(live, source, tmp_path) == kept.held_out == tuple(map(tuple, held_out_texts(live)))
        assert kept.change.keys() == {1}

    def test_another_layer_is_added_over_the_same_texts(
        self, live: EditableModel, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = find_statistics(live, source, (1,), tmp_path, None)
        monkeypatch.setattr(statistics_store, "own_statistics", None)
        both = find_statistics(live, source, (0, 1), tmp_path, None, onboard=False)
        assert both.tokens == one.tokens
        assert torch.equal(both.kept(1, INNER), one.kept(1, INNER))
        again = find_statistics(live, source, (0, 1), tmp_path, None)
        assert torch.equal(again.kept(0, INNER), both.kept(0, INNER))
        monkeypatch.setattr(statistics_store, "own_statistics", partial(own_statistics, max_tokens=MOST))
        together = find_statistics(live, source, (0, 1), tmp_path / "elsewhere", None)
        assert relative(both.kept(0, INNER), together.kept(0, INNER)) <= 1e-6

    def test_it_is_refused_where_it_shall_not(self, live: EditableModel, source: str, tmp_path: Path) -> None:
        with pytest.raises(StatisticsMismatch) as caught:
            find_statistics(live, source, (1,), tmp_path, None, onboard=False)
        assert caught.value.field == "statistics"
        assert kept_texts(live, source, tmp_path) == ()

    def test_the_log_tells_how_far_it_is(
        self,
        live: EditableModel,
        source: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(statistics_store, "TELL_EVERY_S", 0.0)
        with caplog.at_level(logging.INFO, logger="workers.host.statistics_store"):
            find_statistics(live, source, (1,), tmp_path, None)
        assert sum("tokens so far" in record.getMessage() for record in caplog.records) > 10


class TestWithACorpus:
    def test_layers_are_added_over_the_corpus(self, live: EditableModel, source: str, tmp_path: Path) -> None:
        (Path(source) / CORPUS).write_text("\n".join(WORDS), encoding="utf-8")
        for layers in ((1,), (0,), (0, 1)):
            found = find_statistics(live, source, layers, tmp_path, None, onboard=False)
        expected = second_moments(live, WORDS, (0, 1))
        assert found.tokens == expected.tokens
        assert all(torch.equal(found.kept(layer, INNER), expected.kept(layer, INNER)) for layer in (0, 1))
        assert len(list(tmp_path.glob("*.safetensors"))) == 1
        assert kept_texts(live, source, tmp_path) == ()
