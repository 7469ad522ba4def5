"""Continuations of many prompts at once: greedy, or sampled by processors that the caller makes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerFast

from workers.editing.model.anatomy import window
from workers.editing.model.micro_batches import by_length
from workers.editing.text.model_text import ModelText
from workers.questions.cached_rows import BeforePass, CachedRows, proceed
from workers.questions.prompt_tokens import prompt_ids

Processing = Callable[[list[int]], LogitsProcessorList]
"""Makes the processors of one micro-batch, given the indices of its rows."""

MAX_BATCH_TOKENS = 8192
"""Tokens of one micro-batch, padding included, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Start:
    """A row of token ids to be continued by at most ``limit`` new ones.

    top: how many of the most probable next tokens to name.
    """

    ids: list[int]
    limit: int
    top: int = 0


@dataclass(frozen=True, slots=True)
class Continuation:
    """What follows a row. ``new``: ids, the end token left out; ``top``: next ids with their probabilities."""

    new: list[int]
    top: list[tuple[int, float]]


def greedy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    max_new_tokens: int,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
) -> list[str]:
    """The greedy continuation of each prompt, the prompt not included, up to the end token or the window.

    Raises:
        EmptyText, PromptTooLong: with the field ``prompts.{i}``.
    """
    limit, words = window(model), ModelText.of(tokenizer)
    rows = [prompt_ids(words, text, limit, f"prompts.{index}") for index, text in enumerate(prompts)]
    starts = [Start(row, max_new_tokens) for row in rows]
    found = continuations(model, tokenizer, starts, max_batch_tokens=max_batch_tokens)
    return [text_of(tokenizer, row, continuation.new) for row, continuation in zip(rows, found, strict=True)]


@torch.inference_mode()
def continuations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    starts: Sequence[Start],
    *,
    max_batch_tokens: int,
    processing: Processing | None = None,
    before_pass: BeforePass = proceed,
) -> list[Continuation]:
    """Each row continued up to its limit, the end token or the window, whichever comes first.

    The next token is the one with the highest score, whatever generation settings were saved with the model; of
    those only the end tokens are kept.
    """
    most = window(model) + 1  # the last new token is never fed
    room = [min(start.limit, most - len(start.ids)) for start in starts]
    asked = [index for index, start in enumerate(starts) if room[index] or start.top]
    ends = end_tokens(model, tokenizer)
    found = [Continuation([], []) for _ in starts]
    sizes = [len(starts[index].ids) + room[index] for index in asked]
    waiting = deque([asked[place] for place in batch] for batch in by_length(sizes, max_batch_tokens))
    while waiting:
        chosen = waiting.popleft()
        rows = CachedRows(model, [starts[index].ids for index in chosen], before_pass)
        if rows.spoilt:
            waiting.extendleft(_by_length_of_their_own(chosen, starts))
            continue
        processors = processing(chosen) if processing else LogitsProcessorList()
        top = _top(rows.scores, [starts[index].top for index in chosen])
        new = _run(rows, [room[index] for index in chosen], ends, processors)
        for place, index in enumerate(chosen):
            found[index] = Continuation(_until(ends, new[place][: room[index]]), top[place])
    return found


def _by_length_of_their_own(rows: Sequence[int], starts: Sequence[Start]) -> list[list[int]]:
    lengths = sorted({len(starts[row].ids) for row in rows})
    return [[row for row in rows if len(starts[row].ids) == length] for length in lengths]


def _run(
    rows: CachedRows, room: Sequence[int], ends: Sequence[int], processors: LogitsProcessorList
) -> list[list[int]]:
    """New ids of each row; beyond its room or its end a row's ids mean nothing."""
    ids, first = rows.ids, rows.ids.shape[1]
    left = torch.tensor(room, device=ids.device)
    end = torch.tensor(ends, dtype=torch.int64, device=ids.device)
    for step in range(1, max(room) + 1):
        tokens = processors(ids, rows.scores).argmax(-1)  # type: ignore[arg-type]
        ids = torch.cat([ids, tokens[:, None]], dim=1)
        left = torch.where(torch.isin(tokens, end), 0, left)
        if not bool((left > step).any()):
            break
        rows.feed(tokens)
    return ids[:, first:].tolist()


def _top(scores: Tensor, counts: Sequence[int]) -> list[list[tuple[int, float]]]:
    """Of each row the ``counts[i]`` most probable next ids with their probabilities, most probable first."""
    most = min(max(counts), scores.shape[-1])
    if not most:
        return [[] for _ in counts]
    best = scores.softmax(-1).topk(most)
    rows = zip(best.indices.tolist(), best.values.tolist(), counts, strict=True)
    return [list(zip(ids[:count], values[:count], strict=True)) for ids, values, count in rows]


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Ids that end a text, as the model's generation settings or its tokenizer name them."""
    configured = model.generation_config.eos_token_id
    end = tokenizer.eos_token_id if configured is None else configured
    return [end] if isinstance(end, int) else list(end or ())


def _until(ends: Sequence[int], new: list[int]) -> list[int]:
    stop = next((place for place, token in enumerate(new) if token in ends), len(new))
    return new[:stop]


def text_of(tokenizer: PreTrainedTokenizerFast, row: list[int], new: list[int]) -> str:
    """What ``new`` adds to the row's text; decoding ``new`` alone would lose some tokenizers' first space."""
    before, whole = _decode(tokenizer, row), _decode(tokenizer, row + new)
    return whole[len(before) :] if whole.startswith(before) else _decode(tokenizer, new)


def _decode(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
