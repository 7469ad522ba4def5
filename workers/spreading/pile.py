"""What a leader and its helpers have between them: the pile of one batch's slices. Who keeps it is another matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from pydantic import Field

from app.domain.contract.values import Record
from workers.spreading.slices import Slice


class Spread(Record):
    """What helpers must be at to compute a spread's slices."""

    version: int
    dtype: str


class Sign(Record):
    """A sign of life from a helper at a slice. beat: counts them. done, loss: of a descent, how far it has come."""

    worker: str
    beat: int = Field(ge=0)
    done: int = Field(0, ge=0)
    loss: float | None = None


class Pile(Protocol):
    """The slices of one spread, as its leader sees them. Nothing raises: where the pile is lost, ``gone`` says so."""

    @property
    def id(self) -> str:
        """The spread's, of 16 hexadecimal digits."""

    @property
    def gone(self) -> bool:
        """Whether it does not answer any more: what is out then does not come back."""

    def put(self, slices: Sequence[Slice], updates: bytes) -> None:
        """Lay slices out for the helpers to take, in this order, and what all are computed with; then call helpers."""

    def take(self, index: int) -> bool:
        """Take a slice for oneself; False: a helper has it."""

    def signs(self) -> Mapping[int, Sign]:
        """The last sign of life at each slice that a helper has taken."""

    def answered(self) -> frozenset[int]:
        """Which slices have an answer."""

    def answer(self, index: int) -> bytes | None:
        """What a helper answered; None: that it declines, or nothing."""


class Heap(Protocol):
    """Where a leader finds helpers."""

    def helpers(self, dtype: str) -> int:
        """How many other workers live that compute in this dtype; 0 where that cannot be told."""

    def spread(self, about: Spread) -> AbstractContextManager[Pile]:
        """A pile for as long as the block runs: at its end nothing is left of it, and helpers stop."""
