"""Continuations of many prompts at once: greedy, or sampled by processors that the caller makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import torch
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerFast

from workers.editing.keys import by_length
from workers.prompt_tokens import PADDING, device_of, left_padded, window

Sampling = Callable[[list[int]], LogitsProcessorList]
"""Makes the processors of one micro-batch, given the indices of its rows."""


@torch.inference_mode()
def continuations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: Sequence[list[int]],
    limits: Sequence[int],
    *,
    max_batch_tokens: int,
    repetition_penalty: float = 1.0,
    sampling: Sampling | None = None,
) -> list[list[int]]:
    """New ids of each row, up to its limit, the end token (left out) or the window, whichever comes first."""
    most = window(model) + 1  # the last new token is never fed
    room = [min(limit, most - len(row)) for row, limit in zip(rows, limits, strict=True)]
    found: list[list[int]] = [[] for _ in rows]

    def alike(index: int) -> tuple[int, int]:
        # A penalty would count padding as text, so with one only rows of one length go together.
        return room[index], len(rows[index]) if repetition_penalty != 1.0 else 0

    asked = sorted((index for index in range(len(rows)) if room[index]), key=alike)
    for (steps, _), group in groupby(asked, alike):
        indices = list(group)
        config = _greedy_config(model, tokenizer, steps, repetition_penalty)
        for batch in by_length([len(rows[index]) + steps for index in indices], max_batch_tokens):
            chosen = [indices[place] for place in batch]
            new = _generate(model, [rows[index] for index in chosen], config, sampling(chosen) if sampling else None)
            for index, tokens in zip(chosen, new, strict=True):
                found[index] = tokens
    return found


def _generate(
    model: PreTrainedModel,
    rows: Sequence[list[int]],
    config: GenerationConfig,
    processors: LogitsProcessorList | None,
) -> list[list[int]]:
    ids, mask = left_padded(rows, device_of(model))
    out = model.generate(  # type: ignore[operator]
        input_ids=ids, attention_mask=mask, generation_config=config, logits_processor=processors
    )
    end = config.eos_token_id
    ends = {end} if isinstance(end, int) else set(end or ())
    return [_until(ends, new) for new in out[:, ids.shape[1] :].tolist()]


def _until(ends: set[int], new: list[int]) -> list[int]:
    stop = next((place for place, token in enumerate(new) if token in ends), len(new))
    return new[:stop]


def _greedy_config(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, steps: int, repetition_penalty: float
) -> GenerationConfig:
    """Greedy whatever the checkpoint's own generation settings say; of those only the end tokens are kept."""
    configured = model.generation_config.eos_token_id
    return GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=steps,
        do_sample=False,
        num_beams=1,
        num_return_sequences=1,
        temperature=1.0,
        top_k=50,
        top_p=1.0,
        repetition_penalty=repetition_penalty,
        no_repeat_ngram_size=0,
        pad_token_id=PADDING,
        eos_token_id=tokenizer.eos_token_id if configured is None else configured,
    )


def text_of(tokenizer: PreTrainedTokenizerFast, row: list[int], new: list[int]) -> str:
    """What ``new`` adds to the row's text; decoding ``new`` alone would lose some tokenizers' first space."""
    before, whole = _decode(tokenizer, row), _decode(tokenizer, row + new)
    return whole[len(before) :] if whole.startswith(before) else _decode(tokenizer, new)


def _decode(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
