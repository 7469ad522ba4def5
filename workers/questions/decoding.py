"""Continuations of many prompts at once: greedy, or sampled by processors that the caller makes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerFast

from workers.editing.model.anatomy import device_of, window
from workers.editing.model.micro_batches import by_length, left_padded
from workers.editing.text.model_text import ModelText
from workers.questions.prompt_tokens import prompt_ids

Processing = Callable[[list[int]], LogitsProcessorList]
"""Makes the processors of one micro-batch, given the indices of its rows."""

MAX_BATCH_TOKENS = 8192
"""Tokens of one micro-batch, padding included, unless told otherwise."""

BeforePass = Callable[[], None]
"""Called before every forward pass; what it raises ends the work."""


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


def proceed() -> None:
    """The default ``before_pass``: does nothing."""


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
    ends = _end_tokens(model, tokenizer)
    found = [Continuation([], []) for _ in starts]
    sizes = [len(starts[index].ids) + room[index] for index in asked]
    waiting = deque([asked[place] for place in batch] for batch in by_length(sizes, max_batch_tokens))
    while waiting:
        chosen = waiting.popleft()
        decoding = _Decoding(model, [starts[index].ids for index in chosen], before_pass)
        if decoding.spoilt:
            waiting.extendleft(_by_length_of_their_own(chosen, starts))
            continue
        processors = processing(chosen) if processing else LogitsProcessorList()
        new = decoding.run([room[index] for index in chosen], ends, processors)
        top = decoding.top([starts[index].top for index in chosen])
        for place, index in enumerate(chosen):
            found[index] = Continuation(_until(ends, new[place][: room[index]]), top[place])
    return found


def _by_length_of_their_own(rows: Sequence[int], starts: Sequence[Start]) -> list[list[int]]:
    lengths = sorted({len(starts[row].ids) for row in rows})
    return [[row for row in rows if len(starts[row].ids) == length] for length in lengths]


class _Decoding:
    """One micro-batch: its rows are fed once, then every row's newest token on top of the cache."""

    def __init__(self, model: PreTrainedModel, rows: Sequence[list[int]], before_pass: BeforePass) -> None:
        self._model, self._before_pass = model, before_pass
        self._ids, mask = left_padded(rows, device_of(model))
        self._mask = None if bool(mask.all()) else mask  # models are faster without one
        self._cache = DynamicCache(config=model.config.get_text_config(decoder=True))
        self._last_position = window(model) - 1
        self._first = self._scores(self._ids)

    @property
    def spoilt(self) -> bool:
        """Whether a row is NaN: its padding attends to no token, and some attention functions turn that into NaN."""
        return self._mask is not None and bool(self._first.isnan().any())

    def run(self, room: Sequence[int], ends: Sequence[int], processors: LogitsProcessorList) -> list[list[int]]:
        """New ids of each row; beyond its room or its end a row's ids mean nothing."""
        left = torch.tensor(room, device=self._ids.device)
        end = torch.tensor(ends, dtype=torch.int64, device=self._ids.device)
        scores, first = self._first, self._ids.shape[1]
        for step in range(1, max(room) + 1):
            tokens = processors(self._ids, scores).argmax(-1)  # type: ignore[arg-type]
            self._ids = torch.cat([self._ids, tokens[:, None]], dim=1)
            left = torch.where(torch.isin(tokens, end), 0, left)
            if not bool((left > step).any()):
                break
            scores = self._scores(tokens[:, None])
        return self._ids[:, first:].tolist()

    def top(self, counts: Sequence[int]) -> list[list[tuple[int, float]]]:
        """Of each row the ``counts[i]`` most probable next ids with their probabilities, most probable first."""
        most = min(max(counts), self._first.shape[-1])
        if not most:
            return [[] for _ in counts]
        best = self._first.softmax(-1).topk(most)
        rows = zip(best.indices.tolist(), best.values.tolist(), counts, strict=True)
        return [list(zip(ids[:count], values[:count], strict=True)) for ids, values, count in rows]

    def _scores(self, fed: Tensor) -> Tensor:
        """Logits of each row's next token, (rows, vocabulary), float32 or wider. fed: (rows, tokens), int64."""
        self._before_pass()
        positions = None
        if self._mask is not None:
            missing = self._ids.shape[1] - self._mask.shape[1]
            self._mask = torch.nn.functional.pad(self._mask, (0, missing), value=1)
            # A row that has ended is fed on until its batch has: it must not leave the table of positions.
            positions = (self._mask.cumsum(-1) - 1).clamp(0, self._last_position)[:, -fed.shape[1] :]
        logits: Tensor = self._model(
            input_ids=fed,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> list[int]:
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
