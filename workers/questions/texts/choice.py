"""Which token comes next in each of many texts, whatever way each of them is sampled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from workers.questions.texts.text import Text


def chosen(scores: Tensor, texts: Sequence[Text]) -> Tensor:
    """The next token of each text, (rows,), int64. scores: (rows, vocabulary); texts: one a row."""
    scores = _adjusted(scores, texts)
    tokens = scores.argmax(-1)
    sampled = [row for row, text in enumerate(texts) if text.order.request.temperature and text.goes_on]
    if sampled:
        tokens[sampled] = _drawn(scores[sampled], [texts[row] for row in sampled])
    return tokens


def likely(scores: Tensor, tokens: Tensor, texts: Sequence[Text]) -> list[list[tuple[int, float]] | None]:
    """For each text that wants it: its token, then as many of the likeliest as it names, with log probabilities."""
    wanted = [text.order.request.logprobs for text in texts]
    rows = [row for row, count in enumerate(wanted) if count is not None]
    found: list[list[tuple[int, float]] | None] = [None] * len(texts)
    if not rows:
        return found
    logs = scores[rows].log_softmax(-1)
    own = logs.gather(-1, tokens[rows][:, None])[:, 0].tolist()
    best = logs.topk(min(max(wanted[row] or 0 for row in rows), logs.shape[-1]))
    near = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    for row, token, log, (ids, values) in zip(rows, tokens[rows].tolist(), own, near, strict=True):
        found[row] = [(token, log), *zip(ids[: wanted[row]], values[: wanted[row]], strict=True)]
    return found


def _adjusted(scores: Tensor, texts: Sequence[Text]) -> Tensor:
    """Scores with each text's biases, and with its penalties on the tokens that it has."""
    adjusted = scores
    for row, text in enumerate(texts):
        request = text.order.request
        penalised = bool(text.new) and bool(request.frequency_penalty or request.presence_penalty)
        if not (penalised or request.logit_bias):
            continue
        if adjusted is scores:
            adjusted = scores.clone()
        if request.logit_bias:
            places, biases = _on(scores, request.logit_bias.keys()), list(request.logit_bias.values())
            adjusted[row, places] += torch.tensor(biases, dtype=scores.dtype, device=scores.device)
        if penalised:
            tokens, counts = torch.unique(_on(scores, text.new), return_counts=True)
            adjusted[row, tokens] -= request.frequency_penalty * counts + request.presence_penalty
    return adjusted


def _on(scores: Tensor, ids: Iterable[int]) -> Tensor:
    return torch.tensor(list(ids), dtype=torch.int64, device=scores.device)


def _drawn(scores: Tensor, texts: Sequence[Text]) -> Tensor:
    """One token of each row, drawn with its text's next number from the smallest set that has a share of ``top_p``."""
    temperatures, shares, numbers = (
        torch.tensor(values, dtype=torch.float64, device=scores.device)[:, None]
        for values in (
            [text.order.request.temperature for text in texts],
            [text.order.request.top_p for text in texts],
            [text.number for text in texts],
        )
    )
    probabilities = (scores.double() / temperatures).softmax(-1)
    if bool((shares < 1).any()):
        ordered, order = probabilities.sort(stable=True, dim=-1, descending=True)
        before = ordered.cumsum(-1) - ordered
        beyond = (before >= shares) & (before > 0)  # the likeliest always stays
        probabilities = probabilities.masked_fill(beyond.gather(-1, order.argsort(-1)), 0.0)
    cumulative = probabilities.cumsum(-1)
    drawn = torch.searchsorted(cumulative, numbers * cumulative[:, -1:], right=True)
    return drawn[:, 0].clamp_max(scores.shape[-1] - 1)
