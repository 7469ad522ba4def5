"""How objects stand as continuations, teacher forced."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from app.domain.contract import Standing
from app.domain.errors import PromptTooLong
from workers.editing.model.anatomy import device_of, window
from workers.editing.model.micro_batches import by_length, right_padded
from workers.editing.text.joint import joint
from workers.editing.text.model_text import ModelText
from workers.questions.cached_rows import BeforePass, proceed
from workers.questions.decoding import MAX_BATCH_TOKENS
from workers.questions.prompt_tokens import prompt_ids

Row = tuple[list[int], list[int]]
"""Token ids of a prompt and of an object."""


def standings(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    pairs: Sequence[tuple[str, str]],
    max_batch_tokens: int = MAX_BATCH_TOKENS,
    stops: Collection[int] = (),
) -> list[Standing]:
    """How each (prompt, object) stands. ``stops``: indices of pairs whose object includes the end of the turn.

    Equal logits rank by token id, as greedy decoding breaks ties: rank 1 is what greedy decoding gives.

    Raises:
        EmptyText, PromptTooLong: with the field ``pairs.{i}``.
    """
    return standings_of_rows(model, rows_of(model, tokenizer, pairs, stops), max_batch_tokens)


def rows_of(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    pairs: Sequence[tuple[str, str]],
    stops: Collection[int] = (),
) -> list[Row]:
    """The token ids of each (prompt, object), with arguments and errors as ``standings`` has them."""
    words = ModelText.of(tokenizer)
    rows = [object_row(words, *pair, window(model), f"pairs.{index}") for index, pair in enumerate(pairs)]
    for index in stops:
        end = words.turn_end(rendered=words.chat.recognised(pairs[index][0]))
        rows[index][1].extend([] if end is None else [end])
    return rows


def object_row(words: ModelText, prompt: str, text: str, limit: int, field: str) -> Row:
    """Tokenise a prompt and its object, as the object continues the prompt when it is written.

    Raises:
        EmptyText: one of them leaves no token.
        PromptTooLong: together they are longer than ``limit``, the model's window.
    """
    prompt_ids(words, prompt, limit, field)
    joined = joint(words, prompt, text, field)
    if (length := len(joined.prompt) + len(joined.object)) > limit:
        detail = f"prompt and object take {length} tokens; the model's window is {limit}"
        raise PromptTooLong(detail, field=field, value=text)
    return list(joined.prompt), list(joined.object)


@dataclass(frozen=True, slots=True)
class Scored:
    """An object after a prompt: how it stands, and its mean NLL a token, in nats, by which CounterFact compares.

    log_probabilities: of its tokens, in nats.
    greedy: ids of the likeliest tokens at its places. matched: the share of them that are the object's own.
    """

    standing: Standing
    nll: float
    log_probabilities: tuple[float, ...]
    greedy: tuple[int, ...]
    matched: float


def standings_of_rows(
    model: PreTrainedModel,
    rows: Sequence[Row],
    max_batch_tokens: int = MAX_BATCH_TOKENS,
    before_pass: BeforePass = proceed,
) -> list[Standing]:
    """``standings`` of what is already tokenised."""
    return [scored.standing for scored in scored_rows(model, rows, max_batch_tokens, before_pass)]


@torch.inference_mode()
def scored_rows(
    model: PreTrainedModel,
    rows: Sequence[Row],
    max_batch_tokens: int = MAX_BATCH_TOKENS,
    before_pass: BeforePass = proceed,
) -> list[Scored]:
    """How each object scores, teacher forced.

    Rows that are equal are scored once, and so have the same score to the last digit: among the rows of one matrix
    product, equal ones may still round differently.
    """
    asked = [(tuple(prompt), tuple(wanted)) for prompt, wanted in rows]
    distinct = list(dict.fromkeys(asked))
    whole = [[*prompt, *wanted] for prompt, wanted in distinct]
    spans = [(len(prompt) - 1, len(prompt) + len(wanted) - 1) for prompt, wanted in distinct]
    found: dict[tuple[tuple[int, ...], tuple[int, ...]], Scored] = {}
    for index, logits in _logits_of_spans(model, whole, spans, max_batch_tokens, before_pass):
        found[distinct[index]] = _scored(logits, torch.tensor(distinct[index][1], device=logits.device))
    return [found[row] for row in asked]


def _scored(logits: Tensor, wanted: Tensor) -> Scored:
    """``logits``: (tokens, vocabulary), row t predicts ``wanted[t]``."""
    of_wanted = logits.gather(-1, wanted[:, None])
    ids = torch.arange(logits.shape[-1], device=logits.device)
    before = (logits > of_wanted) | ((logits == of_wanted) & (ids < wanted[:, None]))
    log_probabilities = of_wanted - logits.logsumexp(-1, keepdim=True)
    standing = Standing(probability=float(log_probabilities.sum().exp()), rank=1 + int(before.sum(-1).max()))
    first = before.sum(-1) == 0
    greedy = torch.where(first, wanted, logits.argmax(-1))
    matched = float(first.double().mean())
    each = tuple(log_probabilities.squeeze(-1).tolist())
    return Scored(standing, -float(log_probabilities.mean()), each, tuple(greedy.tolist()), matched)


def _logits_of_spans(
    model: PreTrainedModel,
    rows: Sequence[list[int]],
    spans: Sequence[tuple[int, int]],
    max_batch_tokens: int,
    before_pass: BeforePass,
) -> Iterator[tuple[int, Tensor]]:
    """Each row's index with its logits at its span, (positions, vocabulary), float32 or wider.

    Rows are padded on the right, where a causal model cannot see it. The output embeddings run only from the first to
    the last position of any span of a micro-batch: not many, since its rows are of similar length.
    """
    for batch in by_length([len(row) for row in rows], max_batch_tokens):
        ids, mask = right_padded([rows[index] for index in batch], device_of(model))
        first = min(spans[index][0] for index in batch)
        last = max(spans[index][1] for index in batch)
        keep = torch.arange(first, last)  # on the CPU: what it chooses from need not lie where the ids do
        before_pass()
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=keep).logits
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        for place, index in enumerate(batch):
            start, stop = spans[index]
            yield index, logits[place, start - first : stop - first]
