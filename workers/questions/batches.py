"""Questions of many callers, answered in batches: those that wait when a lane is free are answered together.

No question waits for a batch to fill. A batch is answered by one thread, from one version. On one machine its answers
are a function of that version's weights and of the batch: asked again in the same batch, a question gets the same bits.
In another batch, or from a replica on another machine, its numbers may differ by rounding, and its text where two
tokens are nearly equally likely.

There are two lanes, so that a question for one fact does not wait behind a long text. No version can be published
while a question runs, and no question begins while a publish waits; so a long batch gives way to a publish, and starts
anew from the new version, at most ``MOST_RESTARTS`` times. Texts that are told while they are written are in a third
lane, which no publish waits for: ``texts``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from itertools import islice
from typing import Protocol

from transformers import LogitsProcessorList

from app.domain.contract import AnyVersion, Continue, Generate
from app.domain.errors import PalimpsestError
from workers.questions.asked import question_of
from workers.questions.cached_rows import BeforePass, proceed
from workers.questions.decoding import continuations
from workers.questions.lane import Lane, QuestionReply, Request, Waiting
from workers.questions.rows import Found, Live, Question
from workers.questions.sampling import GREEDY, Manner
from workers.questions.scores import ScoreRequest
from workers.questions.scoring import scored_rows
from workers.questions.texts.text import Order, Tell
from workers.questions.texts.text_lane import TextLane

SHORT_STEPS = 64
SHORT_ROWS = 64
"""A question of more new tokens, of more rows, or to a version that is not live takes the long lane."""

MAX_TEXT_TOKENS = 32768
"""Tokens of all texts that are written at one time, to their ends, unless told otherwise."""

MOST_RESTARTS = 3
"""How often a long batch gives way to a publish."""


class Questioned(Protocol):
    """The host of the live model, as questions need it."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def publish_waits(self) -> bool:
        """Whether a new version waits for questions to end."""

    def questions(self, version: AnyVersion | None) -> AbstractContextManager[Live]:
        """Hold one version still: the live one, an earlier one, or a proposal.

        Raises:
            UnknownVersion, UnknownProposal, CompactedVersion, DamagedVersion: that one cannot be had.
        """

    def held(self, version: AnyVersion | None) -> Live:
        """A version for as long as it is kept, whatever is published meanwhile; raises as ``questions`` does."""


class _GaveWay(Exception):
    """A publish was let through; the batch has no answers yet."""


class QuestionBatches:
    """The way to the live model for everything that only asks. Any thread may ask."""

    def __init__(
        self,
        host: Questioned,
        *,
        max_batch_tokens: int,
        threads: int,
        max_waiting: int,
        max_text_tokens: int = MAX_TEXT_TOKENS,
    ) -> None:
        """``threads``: for the mathematics of each lane; ``max_waiting``: questions a lane, beyond which it refuses;
        ``max_text_tokens``: of all texts that are written at one time.
        """
        self._host = host
        self._max_batch_tokens = max_batch_tokens
        self._short = Lane("questions", self._answer, threads, max_waiting)
        self._long = Lane("long-questions", self._answer_giving_way, threads, max_waiting)
        self._texts = TextLane(
            max_batch_tokens=max_batch_tokens, max_tokens=max_text_tokens, threads=threads, max_waiting=max_waiting
        )

    def ask(self, request: Request) -> Future[QuestionReply]:
        """A future of the reply, or of the error if the request is at fault.

        Raises:
            Unavailable: too many wait already, or the worker is leaving.
        """
        rows = _rows(request)
        long = rows > SHORT_ROWS or _steps(request) > SHORT_STEPS or request.version is not None
        manner = Manner.of(request) if isinstance(request, Generate) else GREEDY
        waiting = Waiting(request, manner, rows, request.version)
        (self._long if long else self._short).put(waiting)
        return waiting.reply

    def write(self, request: Continue, tell: Tell) -> Order:
        """Have texts written, all from one version; every event of them is told.

        Raises:
            UnknownVersion, CompactedVersion, DamagedVersion: the version cannot be had.
            EmptyText, PromptTooLong, RequestError: the field says where.
            Unavailable: too many wait already, or the worker is leaving.
        """
        order = Order.of(self._host.held(request.version), request, tell)
        self._texts.put(order)
        return order

    def close(self) -> None:
        """Answer no more; requests that still wait end with Unavailable."""
        for lane in (self._short, self._long, self._texts):
            lane.close()

    def _answer(self, batch: Sequence[Waiting], before_pass: Callable[[], None] = proceed) -> None:
        """Answer every request of the batch, or tell it why not."""
        with self._host.questions(batch[0].version) as live:
            questions = _questions(live, batch)
            manner = batch[0].manner
            found = find(live, [each for _, each in questions], manner, self._max_batch_tokens, before_pass)
            replies = [
                question.reply(self._host.name, live.version, part)
                for (_, question), part in zip(questions, found, strict=True)
            ]
        for (waiting, _), reply in zip(questions, replies, strict=True):
            waiting.reply.set_result(reply)

    def _answer_giving_way(self, batch: Sequence[Waiting]) -> None:
        """``_answer``, but start anew when a publish waits."""
        for _ in range(MOST_RESTARTS):
            try:
                self._answer([waiting for waiting in batch if not waiting.reply.done()], self._give_way)
            except _GaveWay:
                continue
            return
        self._answer([waiting for waiting in batch if not waiting.reply.done()])

    def _give_way(self) -> None:
        if self._host.publish_waits:
            raise _GaveWay


def _questions(live: Live, batch: Sequence[Waiting]) -> list[tuple[Waiting, Question]]:
    """The question of each request; a request that is at fault gets its error at once."""
    found = []
    for waiting in batch:
        try:
            found.append((waiting, question_of(live, waiting.request)))
        except PalimpsestError as error:
            waiting.reply.set_exception(error)
    return found


def find(
    live: Live, questions: Sequence[Question], manner: Manner, max_batch_tokens: int, before_pass: BeforePass = proceed
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

    scored = iter(scored_rows(live.model, objects, max_batch_tokens, before_pass))
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


def _rows(request: Request) -> int:
    if isinstance(request, Generate):
        return len(request.prompts or (request.messages,)) * request.num_return_sequences
    if isinstance(request, ScoreRequest):
        return len(request.texts) + len(request.held_out)
    return sum(1 + len(prompt.candidates) + (prompt.expected is not None) for prompt in request.prompts)


def _steps(request: Request) -> int:
    if isinstance(request, Generate):
        return request.max_new_tokens
    if isinstance(request, ScoreRequest):
        return 0
    return max((prompt.max_new_tokens for prompt in request.prompts), default=0)
