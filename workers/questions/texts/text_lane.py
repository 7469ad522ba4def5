"""The thread that writes texts: whoever comes joins those that are being written, and nobody waits for a text's end."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence

import torch

from app.domain.contract import Broken
from app.domain.errors import PalimpsestError, Unavailable
from app.domain.problems import problem_of
from workers.questions.lane import CLOSE_TIMEOUT_S
from workers.questions.texts.cohort import Cohort
from workers.questions.texts.text import Order, Text

logger = logging.getLogger(__name__)


class TextLane:
    """One thread that gives every text its next token, again and again.

    A text is written from the version that its order holds, whatever is published meanwhile, and no publish waits for
    it. Who reads slowly holds up nobody: an order's events wait with whoever was told of them, at most one a token.
    """

    def __init__(self, *, max_batch_tokens: int, max_tokens: int, threads: int, max_waiting: int) -> None:
        """``max_batch_tokens``: in one pass over prompts; ``max_tokens``: of all texts at one time, to their ends."""
        self._max_batch_tokens, self._max_tokens, self._threads = max_batch_tokens, max_tokens, threads
        self._max_waiting = max_waiting
        self._waiting: deque[Order] = deque()
        self._cohorts: list[Cohort] = []
        self._condition = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="texts", daemon=True)
        self._thread.start()

    def put(self, order: Order) -> None:
        """Have an order's texts written.

        Raises:
            Unavailable: too many wait already, or the lane is closed.
        """
        with self._condition:
            if self._closed or len(self._waiting) >= self._max_waiting:
                raise Unavailable("the worker is leaving" if self._closed else "too many texts wait already")
            self._waiting.append(order)
            self._condition.notify()

    def close(self) -> None:
        """End with the next token; texts that are not at their end are broken off."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join(CLOSE_TIMEOUT_S)
        leaving = Unavailable("the worker is leaving")
        self._break([text for cohort in self._cohorts for text in cohort.texts], leaving)
        self._break([text for order in self._waiting for text in order.texts], leaving)

    @torch.inference_mode()
    def _run(self) -> None:
        torch.set_num_threads(self._threads)
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or self._cohorts or self._closed)
                if self._closed:
                    return
                orders = self._admitted()
            self._begin([text for order in orders for text in order.texts])
            for cohort in self._cohorts:
                try:
                    cohort.step()
                except Exception as error:  # the lane goes on, whatever a cohort came to
                    self._break(cohort.texts, error)
                    cohort.texts = []
            self._cohorts = [cohort for cohort in self._cohorts if cohort.texts]

    def _admitted(self) -> list[Order]:
        """Who has waited longest, as many as there is room for; one is let in however large it is."""
        orders: list[Order] = []
        used = sum(len(text.ids) + text.room for cohort in self._cohorts for text in cohort.texts)
        while self._waiting and (not used or used + self._waiting[0].tokens <= self._max_tokens):
            order = self._waiting.popleft()
            if not order.cancelled:
                orders.append(order)
                used += order.tokens
        return orders

    def _begin(self, texts: Sequence[Text]) -> None:
        """Read the prompts, of each version together, and let the texts join those of their version."""
        for version in dict.fromkeys(text.order.live.version for text in texts):
            own = [text for text in texts if text.order.live.version == version]
            try:
                for cohort in Cohort.begun(own[0].order.live, own, self._max_batch_tokens):
                    if not any(older.absorb(cohort) for older in self._cohorts):
                        self._cohorts.append(cohort)
            except Exception as error:  # the lane goes on
                self._break(own, error)

    @staticmethod
    def _break(texts: Sequence[Text], error: Exception) -> None:
        """Tell each order once that its texts come to no end."""
        if not isinstance(error, PalimpsestError):
            logger.error("texts could not be written", exc_info=error)
            error = PalimpsestError("the worker failed for a reason that only its own log tells")
        for order in {id(text.order): text.order for text in texts if text.goes_on}.values():
            order.cancelled = True
            order.tell(Broken(problem=problem_of(error)))
