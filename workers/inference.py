"""Probe and generate: pure functions over a model and its tokenizer, in micro-batches.

Results depend neither on the tokenizer's padding side nor on what else is asked in the same request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from transformers import LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerFast

from app.domain.contract import Answer, Candidate, Expected, Generate, Generation, Prompt
from app.domain.errors import RequestError
from workers.decoding import continuations, text_of
from workers.prompt_tokens import prompt_ids, window
from workers.sampling import draws, sampler
from workers.scoring import MAX_BATCH_TOKENS, Row, object_row, standings, standings_of_rows, top_tokens

__all__ = ["MAX_BATCH_TOKENS", "Live", "generate", "greedy", "probe", "standings"]


class Live(Protocol):
    """A model that stands still at one version."""

    @property
    def model(self) -> PreTrainedModel:
        """The live module; never changed here."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The model's tokenizer."""

    @property
    def version(self) -> int:
        """The version of the weights."""


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
    rows = _prompt_rows(model, tokenizer, prompts)
    found = continuations(model, tokenizer, rows, [max_new_tokens] * len(rows), max_batch_tokens=max_batch_tokens)
    return [text_of(tokenizer, row, new) for row, new in zip(rows, found, strict=True)]


def _prompt_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str]) -> list[list[int]]:
    limit = window(model)
    return [prompt_ids(tokenizer, text, limit, f"prompts.{index}") for index, text in enumerate(prompts)]


def probe(live: Live, prompts: Sequence[Prompt], max_batch_tokens: int = MAX_BATCH_TOKENS) -> tuple[Answer, ...]:
    """Answer each prompt: greedy text, the expected object, candidates, next tokens.

    Raises:
        EmptyText, PromptTooLong: with the field ``prompts.{i}``, or that of an object under it.
    """
    model, tokenizer = live.model, live.tokenizer
    rows = _prompt_rows(model, tokenizer, [prompt.prompt for prompt in prompts])
    objects = _objects(live, prompts, max_batch_tokens)
    limits = [prompt.max_new_tokens for prompt in prompts]
    new = continuations(model, tokenizer, rows, limits, max_batch_tokens=max_batch_tokens)
    top = top_tokens(model, tokenizer, rows, [prompt.top_k for prompt in prompts], max_batch_tokens)
    return tuple(
        Answer(
            prompt=prompt.prompt,
            text=text_of(tokenizer, rows[index], new[index]),
            expected=objects[index][0],
            candidates=objects[index][1],
            top=top[index],
        )
        for index, prompt in enumerate(prompts)
    )


def _objects(
    live: Live, prompts: Sequence[Prompt], max_batch_tokens: int
) -> list[tuple[Expected | None, tuple[Candidate, ...]]]:
    """Of each prompt the expected object, and the candidates with the most probable first."""
    rows: list[Row] = []
    for index, prompt in enumerate(prompts):
        asked = [(f"candidates.{place}", text) for place, text in enumerate(prompt.candidates)]
        if prompt.expected is not None:
            asked.append(("expected", prompt.expected))
        rows.extend(
            object_row(live.model, live.tokenizer, prompt.prompt, text, f"prompts.{index}.{name}")
            for name, text in asked
        )
    scored = iter(standings_of_rows(live.model, rows, max_batch_tokens))
    found: list[tuple[Expected | None, tuple[Candidate, ...]]] = []
    for prompt in prompts:
        candidates = [Candidate(text=text, **next(scored).model_dump()) for text in prompt.candidates]
        candidates.sort(key=lambda candidate: -candidate.probability)
        expected = None
        if prompt.expected is not None:
            standing = next(scored)
            expected = Expected(text=prompt.expected, greedy=standing.rank == 1, **standing.model_dump())
        found.append((expected, tuple(candidates)))
    return found


def generate(live: Live, request: Generate, max_batch_tokens: int = MAX_BATCH_TOKENS) -> tuple[Generation, ...]:
    """Continue each prompt freely. With a seed, a prompt's texts depend on the seed and the prompt alone.

    Raises:
        EmptyText, PromptTooLong: with the field ``prompts.{i}``.
        RequestError: several sequences asked of greedy decoding, which has one.
    """
    count, tokenizer = request.num_return_sequences, live.tokenizer
    if count > 1 and not request.do_sample:
        detail = "greedy decoding has one answer: set do_sample"
        raise RequestError(detail, field="num_return_sequences", value=count)
    prompts = _prompt_rows(live.model, tokenizer, request.prompts)
    rows = [row for row in prompts for _ in range(count)]
    numbers = [number for _ in prompts for number in draws(request.seed, count, request.max_new_tokens)]

    def sampling(chosen: list[int]) -> LogitsProcessorList:
        return sampler(request, [numbers[index] for index in chosen])

    found = continuations(
        live.model,
        tokenizer,
        rows,
        [request.max_new_tokens] * len(rows),
        max_batch_tokens=max_batch_tokens,
        repetition_penalty=request.repetition_penalty,
        sampling=sampling if request.do_sample else None,
    )
    texts = [text_of(tokenizer, row, new) for row, new in zip(rows, found, strict=True)]
    return tuple(
        Generation(prompt=prompt, texts=tuple(texts[index * count : (index + 1) * count]))
        for index, prompt in enumerate(request.prompts)
    )
