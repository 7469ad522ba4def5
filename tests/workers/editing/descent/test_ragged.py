"""Rows of several lengths as one run: which models take them, and that a run gives what each row gives by itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedTokenizerFast

from tests.support.editing.families import FAMILIES, HIDDEN, editable, relative
from workers.editing.descent.compatibility import check_replay
from workers.editing.descent.ragged import RAGGED, Strip
from workers.editing.descent.suffix_rows import SuffixRow
from workers.editing.descent.suffixes import SuffixBatch, suffix_batches
from workers.editing.model.anatomy import Site

ROWS = (
    SuffixRow(0, prefix=(), suffix=(7,)),
    SuffixRow(1, prefix=(5, 9), suffix=(3, 4, 5, 6)),
    SuffixRow(2, prefix=(8, 8, 2, 1, 4), suffix=(6,)),
    SuffixRow(3, prefix=(1,), suffix=(2, 3)),
    SuffixRow(4, prefix=(4, 1), suffix=(9, 9, 2, 7)),
)
WITHOUT = ("gptj", "gemma2")
"""GPT-J has attention of its own kind; Gemma 2's soft cap is beyond the attention function that is stood in for."""

EXACT = ("gpt2", "gpt-neox")
"""The others' norms and rotary tables are float32 throughout."""


def batches(name: str, tokenizer: PreTrainedTokenizerFast, limit: int = 1024) -> list[SuffixBatch]:
    return suffix_batches(editable(name, tokenizer), 0, (Site.BLOCK,), ROWS, limit)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_run_has_all_rows_and_no_padding(name: str, tokenizer: PreTrainedTokenizerFast) -> None:
    found = batches(name, tokenizer)
    assert sum(len(batch.unmoved) for batch in found) == sum(len(row.suffix) for row in ROWS)
    assert [batch.cache is None for batch in found] == ([False] * 3 if name in WITHOUT else [True])


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in WITHOUT])
def test_a_run_gives_each_row_what_it_gives_by_itself(name: str, tokenizer: PreTrainedTokenizerFast) -> None:
    """With a shift of each row's own, and its gradient."""
    generator = torch.Generator().manual_seed(0)
    shifts = torch.randn(len(ROWS), HIDDEN, dtype=torch.float64, generator=generator)
    asked = torch.randn(HIDDEN, dtype=torch.float64, generator=generator)

    def replayed(found: list[SuffixBatch]) -> tuple[Tensor, Tensor]:
        """Of each row, by its fact: the states at its last token, and how what is asked of them leans on its shift."""
        moved = shifts.clone().requires_grad_()
        ends = torch.cat([batch.replay(moved[batch.facts].unsqueeze(0), batch.ends) for batch in found])
        (ends.double() @ asked).sum().backward()  # type: ignore[no-untyped-call]
        order = torch.cat([batch.facts for batch in found]).argsort()
        assert moved.grad is not None
        return ends.detach()[order], moved.grad

    together, alone = replayed(batches(name, tokenizer)), replayed(batches(name, tokenizer, limit=1))
    for mine, other in zip(together, alone, strict=True):
        assert relative(mine, other) <= (1e-12 if name in EXACT else 1e-6)


def test_a_run_without_some_rows_gives_the_others_what_it_gave(tokenizer: PreTrainedTokenizerFast) -> None:
    shifts = torch.randn(1, len(ROWS), HIDDEN, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for name in ("gpt2", "llama"):
        [whole] = batches(name, tokenizer)
        smaller = whole.keep(torch.tensor([False, True, False, True, False]))
        assert smaller is not None
        assert [row.fact for row in smaller.rows] == smaller.facts.tolist() == [3, 1]
        at = [whole.facts.tolist().index(fact) for fact in (3, 1)]
        before = whole.replay(shifts[:, whole.facts], whole.ends[at])
        assert relative(smaller.replay(shifts[:, smaller.facts], smaller.ends), before) <= 1e-6
        assert smaller.keep(torch.zeros(5, dtype=torch.bool)) is None


def test_the_attention_of_runs_is_made_known_when_it_is_first_asked_for(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not when a module is imported."""
    monkeypatch.delitem(AttentionInterface._global_mapping, RAGGED, raising=False)
    [batch] = batches("llama", tokenizer)
    assert RAGGED not in AttentionInterface._global_mapping
    batch.replay(torch.zeros(1, len(ROWS), HIDDEN), batch.ends)
    assert RAGGED in AttentionInterface._global_mapping


def test_a_model_whose_runs_go_wrong_is_replayed_length_by_length(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = editable("llama", tokenizer)
    check_replay(live)
    assert live.takes_runs
    monkeypatch.setattr(Strip, "attend", lambda _strip, query, *_: torch.zeros_like(query))
    check_replay(live)
    assert not live.takes_runs
    assert not live.shadow(()).takes_runs
