"""What texts are to whoever tells them to a caller, whoever writes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from app.domain.contract import AnyVersion, Piece


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens of the prompts, each counted once, and of all texts, end tokens not counted."""

    prompt: int
    new: int


class Writing(Protocol):
    """The texts of one request while one version writes them. It has to be closed, and that ends the work on them."""

    @property
    def version(self) -> AnyVersion:
        """The version that writes, all of every text."""

    def pieces(self) -> AsyncIterator[Piece]:
        """The pieces of all texts as they come, up to each one's end.

        Raises:
            ModelUnavailable: whoever writes broke off, or cannot be understood.
            PalimpsestError: why it cannot go on.
        """

    def counted(self) -> Counted:
        """The tokens, once all pieces were read.

        Raises:
            ModelUnavailable: they were not told.
        """

    async def close(self) -> None:
        """Let the writer know that nobody listens any more."""
