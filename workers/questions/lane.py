"""One thread that answers, and those who wait for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch

from app.domain.contract import AnyVersion, Generate, GenerateReply, Query, QueryReply, Scores
from app.domain.errors import Unavailable
from workers.questions.sampling import Manner
from workers.questions.scores import ScoreRequest

MOST_ROWS = 256
"""Rows of several questions in one batch; a single question may have more."""

CLOSE_TIMEOUT_S = 5.0

Request = Query | Generate | ScoreRequest
QuestionReply = QueryReply | GenerateReply | Scores


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request whose answer somebody waits for."""

    request: Request
    manner: Manner
    rows: int
    version: AnyVersion | None
    reply: Future[QuestionReply] = field(default_factory=Future)

    @property
    def kind(self) -> tuple[Manner, AnyVersion | None]:
        """What requests must have in common to be answered in one batch."""
        return self.manner, self.version


class Lane:
    """One thread and those who wait for it, first come, first served."""

    def __init__(self, name: str, answer: Callable[[Sequence[Waiting]], None], threads: int, max_waiting: int) -> None:
        self._answer, self._threads, self._max_waiting = answer, threads, max_waiting
        self._waiting: deque[Waiting] = deque()
        self._condition = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, waiting: Waiting) -> None:
        """Queue a request.

        Raises:
            Unavailable: too many wait already, or the lane is closed.
        """
        with self._condition:
            if self._closed or len(self._waiting) >= self._max_waiting:
                raise Unavailable("the worker is leaving" if self._closed else "too many questions wait already")
            self._waiting.append(waiting)
            self._condition.notify()

    def close(self) -> None:
        """End with the running batch; requests that still wait end with Unavailable."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join(CLOSE_TIMEOUT_S)
        while self._waiting:
            waiting = self._waiting.popleft()
            if waiting.reply.set_running_or_notify_cancel():
                waiting.reply.set_exception(Unavailable("the worker is leaving"))

    def _run(self) -> None:
        torch.set_num_threads(self._threads)  # of this thread, and of those that begin later; never of the main one
        while not self._closed:
            batch = self._take()
            try:
                if batch:
                    self._answer(batch)
            except Exception as error:  # the lane goes on, whatever a batch came to
                for waiting in batch:
                    if not waiting.reply.done():
                        waiting.reply.set_exception(error)

    def _take(self) -> list[Waiting]:
        """The first request and all that can be answered together with it; cancelled ones are dropped."""
        with self._condition:
            self._condition.wait_for(lambda: self._waiting or self._closed)
            batch: list[Waiting] = []
            passed: deque[Waiting] = deque()
            rows = 0
            while self._waiting and not self._closed:
                waiting = self._waiting.popleft()
                fits = not batch or (waiting.kind == batch[0].kind and rows + waiting.rows <= MOST_ROWS)
                if fits and waiting.reply.set_running_or_notify_cancel():
                    batch.append(waiting)
                    rows += waiting.rows
                elif not fits:
                    passed.append(waiting)
            self._waiting.extendleft(reversed(passed))
            return batch
