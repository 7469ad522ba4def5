"""Answers to one request by itself, from a model that nobody edits meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.contract import Answer, Generate, Generation, Prompt
from workers.questions.batches import find
from workers.questions.decoding import MAX_BATCH_TOKENS
from workers.questions.rows import GenerateQuestion, Live, ProbeQuestion
from workers.questions.sampling import GREEDY, Manner


def probe(live: Live, prompts: Sequence[Prompt], max_batch_tokens: int = MAX_BATCH_TOKENS) -> tuple[Answer, ...]:
    """The answer to each prompt: greedy text, the expected object, candidates, next tokens."""
    question = ProbeQuestion.of(live, tuple(prompts))
    [found] = find(live, [question], GREEDY, max_batch_tokens)
    return question.reply("", live.version, found).answers


def generate(live: Live, request: Generate, max_batch_tokens: int = MAX_BATCH_TOKENS) -> tuple[Generation, ...]:
    """Each prompt continued freely."""
    question = GenerateQuestion.of(live, request)
    [found] = find(live, [question], Manner.of(request), max_batch_tokens)
    return question.reply("", live.version, found).generations
