"""How many texts may be on their way at a time."""

from __future__ import annotations

from app.domain.errors import Unavailable


class Places:
    """Places of requests whose texts are being written; for one event loop."""

    def __init__(self, limit: int) -> None:
        self._free = limit

    def take(self) -> None:
        """Take one, which has to be given back.

        Raises:
            Unavailable: there is none.
        """
        if self._free <= 0:
            raise Unavailable("Too many texts are being written already.")
        self._free -= 1

    def give_back(self) -> None:
        """Let another request have it."""
        self._free += 1
