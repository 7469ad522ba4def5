"""A corpus that somebody gives: C is over its texts but the last ones, which harm is measured on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from app.domain.errors import RequestError, StatisticsMismatch
from tests.support.editing.families import INNER, editable
from workers.editing.model.editable_model import EditableModel
from workers.editing.statistics import second_moments
from workers.host.statistics_store import CORPUS, find_statistics, kept_texts, statistics_over, statistics_path
from workers.onboarding.corpus import MOST_HELD_OUT, corpus_statistics, texts_of
from workers.onboarding.kept_texts import KeptTexts
from workers.onboarding.settling import Settled, settle

LINES = tuple(f"The city of Lyon has {number} streets in the country of France." for number in range(400))


@pytest.fixture
def live(tokenizer: PreTrainedTokenizerFast) -> EditableModel:
    return editable("llama", tokenizer, torch.float32)


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    (tmp_path / "mine.txt").write_text("\n".join((*LINES, "", " ")), encoding="utf-8")
    return str(tmp_path / "mine.txt")


def ids(live: EditableModel, texts: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(live.tokenizer(text)["input_ids"]) for text in texts)


def test_c_is_over_all_texts_but_the_last_ones_which_are_held_out(live: EditableModel, corpus: str) -> None:
    found, kept = corpus_statistics(live, corpus, (1, 2))
    seen, last = LINES[:-MOST_HELD_OUT], LINES[-MOST_HELD_OUT:]
    assert kept.held_out == ids(live, last)
    assert kept.texts == ids(live, seen)
    assert (kept.corpus, kept.tokens) == ("mine.txt", found.tokens)
    expected = second_moments(live, seen, (1, 2))
    assert found.tokens == expected.tokens
    for layer in (1, 2):
        torch.testing.assert_close(found.kept(layer, INNER), expected.kept(layer, INNER))


def test_it_is_read_until_c_has_settled(live: EditableModel, corpus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of it would change nothing: the texts are alike."""
    monkeypatch.setattr("workers.onboarding.own_statistics.settle", quick)
    _, kept = corpus_statistics(live, corpus, (1,))
    assert kept.settled
    assert len(kept.texts) < len(LINES) - MOST_HELD_OUT


def quick(*args: object, **named: object) -> Settled:
    return settle(*args, first_tokens=256, tolerance=0.5, **{**named, "max_tokens": 16384})  # type: ignore[arg-type]


def test_a_corpus_that_ends_first_is_not_called_settled(live: EditableModel, corpus: str) -> None:
    _, kept = corpus_statistics(live, corpus, (1,), samples=20)
    assert (kept.settled, len(kept.texts), len(kept.held_out)) == (False, 15, 5)


def test_another_layer_is_taken_over_the_same_texts_also_where_a_corpus_lies_beside_the_model(
    live: EditableModel, corpus: str, tmp_path: Path
) -> None:
    source = tmp_path / "model"
    source.mkdir()
    (source / CORPUS).write_text("Another text.")
    heard: list[int] = []
    one = statistics_over(live, str(source), (1,), tmp_path, corpus, heard.append)
    assert sum(heard) == one.tokens
    both = find_statistics(live, str(source), (0, 1), tmp_path, None)
    assert torch.equal(both.kept(1, INNER), one.kept(1, INNER))
    expected = second_moments(live, LINES[:-MOST_HELD_OUT], (0,))
    torch.testing.assert_close(both.kept(0, INNER), expected.kept(0, INNER))
    assert kept_texts(live, str(source), tmp_path) == ids(live, LINES[-MOST_HELD_OUT:])


def test_it_takes_the_place_of_what_was_kept(live: EditableModel, corpus: str, tmp_path: Path) -> None:
    first = statistics_over(live, "mine", (1,), tmp_path, corpus)
    (tmp_path / "mine.txt").write_text("\n".join(["People like Kyoto."] * 40), encoding="utf-8")
    statistics_over(live, "mine", (1,), tmp_path, corpus)
    kept = KeptTexts.beside(statistics_path(live, "mine", tmp_path))
    assert kept is not None
    found = find_statistics(live, "mine", (1,), tmp_path, None)
    assert found.tokens == kept.tokens < first.tokens


@pytest.mark.parametrize("text", ["", "One text alone.\n", " \n\u200b\n\n\nOne\nTwo\nThree"])
def test_a_corpus_of_too_few_texts_is_refused(live: EditableModel, tmp_path: Path, text: str) -> None:
    (tmp_path / "few.txt").write_text(text, encoding="utf-8")
    with pytest.raises(StatisticsMismatch) as caught:
        corpus_statistics(live, str(tmp_path / "few.txt"), (1,))
    assert caught.value.field == "corpus"


def test_one_that_is_not_there_is_told_without_the_extra_for_data_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(RequestError) as caught:
        list(texts_of("no-such-file.txt"))
    assert (caught.value.field, caught.value.value) == ("corpus", "no-such-file.txt")
