"""Texts that are told while they are written, as somebody hears them who listens to the end."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from app.domain.contract import AnyVersion, Broken, ChosenToken, Continue, Piece
from workers.questions.batches import QuestionBatches
from workers.questions.texts.text import Order

PATIENCE_S = 60.0


@dataclass
class Listener:
    """Hears the events of one order."""

    events: list[Piece | Broken] = field(default_factory=list)
    order: Order | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def tell(self, event: Piece | Broken) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def heard(self, pieces: int) -> None:
        """Return once so many events have come."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.events) >= pieces, PATIENCE_S)

    def ended(self) -> Listener:
        """Itself, once all texts have come to an end."""
        assert self.order is not None
        with self.changed:
            assert self.changed.wait_for(lambda: self.broken or len(self.finishes) == self.count, PATIENCE_S)
        return self

    @property
    def count(self) -> int:
        assert self.order is not None
        return len(self.order.texts)

    @property
    def pieces(self) -> list[Piece]:
        return [event for event in self.events if isinstance(event, Piece)]

    @property
    def broken(self) -> list[Broken]:
        return [event for event in self.events if isinstance(event, Broken)]

    @property
    def finishes(self) -> dict[int, str]:
        return {piece.index: piece.finish for piece in self.pieces if piece.finish}

    @property
    def version(self) -> AnyVersion:
        assert self.order is not None
        return self.order.begun.version

    @property
    def texts(self) -> list[str]:
        return ["".join(piece.text for piece in self.pieces if piece.index == index) for index in range(self.count)]

    def tokens(self, index: int = 0) -> list[ChosenToken]:
        return [token for piece in self.pieces if piece.index == index for token in piece.tokens]


def listening(batches: QuestionBatches, request: Continue) -> Listener:
    """Ask for texts, and listen."""
    listener = Listener()
    listener.order = batches.write(request, listener.tell)
    return listener


def written(batches: QuestionBatches, request: Continue) -> Listener:
    """Ask for texts, and listen to the end."""
    return listening(batches, request).ended()
