"""Probe and generate: pure functions over a model and its tokenizer, in micro-batches.

Whichever side the tokenizer pads, the answers are the same. The same questions together, under the same weights, on the
same machine with as many threads, get the same bits. In other company or elsewhere their numbers differ by rounding,
and so do their texts where two tokens are as good as equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from transformers import LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerFast

from app.domain.contract import Answer, Generate, Generation, Prompt
from workers.questions.decoding import BeforePass, Start, continuations, proceed, text_of
from workers.questions.prompt_tokens import prompt_ids, window
from workers.questions.rows import Found, GenerateQuestion, Live, ProbeQuestion, Question
from workers.questions.sampling import GREEDY, Manner
from workers.questions.scoring import MAX_BATCH_TOKENS, standings, standings_of_rows

__all__ = ["MAX_BATCH_TOKENS", "Live", "find", "generate", "greedy", "probe", "standings"]


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
    limit = window(model)
    rows = [prompt_ids(tokenizer, text, limit, f"prompts.{index}") for index, text in enumerate(prompts)]
    starts = [Start(row, max_new_tokens) for row in rows]
    found = continuations(model, tokenizer, starts, max_batch_tokens=max_batch_tokens)
    return [text_of(tokenizer, row, continuation.new) for row, continuation in zip(rows, found, strict=True)]


def probe(live: Live, prompts: Sequence[Prompt], max_batch_tokens: int = MAX_BATCH_TOKENS) -> tuple[Answer, ...]:
    """Answer each prompt: greedy text, the expected object, candidates, next tokens.

    Raises:
        EmptyText, PromptTooLong: with the field ``prompts.{i}``, or that of an object under it.
    """
    question = ProbeQuestion.of(live, tuple(prompts))
    [found] = find(live, [question], GREEDY, max_batch_tokens)
    return question.reply("", live.version, found).answers


def generate(live: Live, request: Generate, max_batch_tokens: int = MAX_BATCH_TOKENS) -> tuple[Generation, ...]:
    """Continue each prompt freely.

    With a seed, a prompt's texts are drawn by the same numbers in any company. They are the same texts, unless a number
    falls so near the border of two tokens that rounding decides.

    Raises:
        EmptyText, PromptTooLong: with the field ``prompts.{i}``.
        RequestError: several sequences asked of greedy decoding, which has one.
    """
    question = GenerateQuestion.of(live, request)
    [found] = find(live, [question], Manner.of(request), max_batch_tokens)
    return question.reply("", live.version, found).generations


def find(
    live: Live,
    questions: Sequence[Question],
    manner: Manner,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
    before_pass: BeforePass = proceed,
) -> list[Found]:
    """Run the rows of all questions together; what was found for each question's own.

    Args:
        manner: that of all the questions.
        before_pass: called before every forward pass; what it raises ends the work.
    """
    starts = [start for question in questions for start in question.starts]
    objects = [row for question in questions for row in question.objects]
    numbers = [number for question in questions for number in question.numbers]

    def processing(chosen: list[int]) -> LogitsProcessorList:
        return manner.processors([numbers[index] for index in chosen])

    scored = iter(standings_of_rows(live.model, objects, max_batch_tokens, before_pass))
    continued = iter(
        continuations(
            live.model,
            live.tokenizer,
            starts,
            max_batch_tokens=max_batch_tokens,
            processing=None if manner == GREEDY else processing,
            before_pass=before_pass,
        )
    )
    return [
        Found(list(islice(continued, len(question.starts))), list(islice(scored, len(question.objects))))
        for question in questions
    ]
