"""What the worker's routes are given, as an ``Annotated`` alias."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request

from app.domain.contract import EditBatch, WorkerCard
from app.domain.log.pages import MovePage
from workers.questions.batches import QuestionBatches
from workers.serving.metrics import Metrics


class Held(Protocol):
    """The host of the live model, as the routes need it."""

    @property
    def version(self) -> int:
        """The version in service."""

    @property
    def held_out(self) -> tuple[tuple[int, ...], ...]:
        """Token ids of texts that no edit is about, beginnings of them."""

    def check(self, batch: EditBatch) -> None:
        """Raise RequestError if the batch could not be edited."""

    def update_norms(self, old: int, new: int) -> dict[int, float]:
        """Frobenius norm of the difference between two versions' weights, of each layer that differs."""

    def move_alias(self, move: MovePage) -> MovePage:
        """Make this the alias's move of its number; returns the one of that number that stands."""


@dataclass(frozen=True, slots=True)
class Services:
    """What one worker's application answers from, as long as it lives."""

    host: Held
    card: Callable[[], WorkerCard]
    metrics: Metrics
    batches: QuestionBatches


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]
