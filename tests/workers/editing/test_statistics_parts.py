"""Statistics in parts: what is merged is what one pass takes, and nothing that is not whole is taken for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast

from app.domain.errors import RequestError, StatisticsMismatch
from tests.support.editing.families import editable
from tests.workers.conftest import WORDS
from workers.editing.model.editable_model import EditableModel
from workers.editing.statistics import Statistics, load_statistics, save_statistics, second_moments
from workers.editing.statistics_parts import Part, merged, read_part

LAYERS = (0, 2)
TEXTS = [" ".join(WORDS[0].split()[: 3 + number]) for number in range(7)]


@pytest.fixture(scope="module")
def live(tokenizer: PreTrainedTokenizerFast) -> EditableModel:
    return editable("llama", tokenizer, torch.float32)


@pytest.fixture(scope="module")
def parts(live: EditableModel) -> list[tuple[Part, Statistics]]:
    each = [Part(number, 3) for number in (1, 2, 3)]
    return [(part, second_moments(live, part.texts(TEXTS), LAYERS)) for part in each]


def test_every_text_is_in_one_part() -> None:
    shares = [list(Part(number, 3).texts(TEXTS)) for number in (1, 2, 3)]
    assert [len(share) for share in shares] == [3, 2, 2]
    assert sorted(text for share in shares for text in share) == sorted(TEXTS)


def test_merged_they_are_what_one_pass_takes(live: EditableModel, parts: list[tuple[Part, Statistics]]) -> None:
    whole, found = second_moments(live, TEXTS, LAYERS), merged([parts[2], parts[0], parts[1]])
    assert (found.tokens, found.fingerprint) == (whole.tokens, whole.fingerprint)
    assert len({statistics.tokens for _, statistics in parts}) > 1, "a mean that does not weigh would pass"
    for layer in LAYERS:
        ours, theirs = found.second_moments[layer], whole.second_moments[layer]
        assert ours.dtype == torch.float32
        assert torch.equal(ours, ours.T)
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-6


def test_what_is_not_whole_is_refused(parts: list[tuple[Part, Statistics]]) -> None:
    first, second, third = parts
    other = replace(third[1], fingerprint="another")
    fewer = replace(third[1], second_moments={0: third[1].second_moments[0]})
    for wrong in (
        [first, second],
        [first, second, second],
        [first, second, third, third],
        [first, second, (Part(3, 4), third[1])],
        [first, second, (third[0], other)],
        [first, second, (third[0], fewer)],
    ):
        with pytest.raises(StatisticsMismatch):
            merged(wrong)


def test_a_part_is_not_taken_for_the_whole(
    live: EditableModel, parts: list[tuple[Part, Statistics]], tmp_path: Path
) -> None:
    part, statistics = parts[0]
    save_statistics(statistics, tmp_path / "one", str(part))
    with pytest.raises(StatisticsMismatch, match="part 1/3"):
        load_statistics(tmp_path / "one", live)
    back, found = read_part(tmp_path / "one")
    assert (back, found.tokens) == (part, statistics.tokens)
    save_file({"layer.0": torch.eye(2)}, tmp_path / "whole")
    with pytest.raises(RequestError):
        read_part(tmp_path / "whole")


@pytest.mark.parametrize("text", ["", "0/2", "3/2", "1/0", "1", "1/2/3", "-1/2", "a/b", "1.5/2", "1/2\n"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(RequestError):
        Part.of(text)


def test_a_part_is_written_as_it_is_read() -> None:
    assert str(Part.of("2/4")) == "2/4"
