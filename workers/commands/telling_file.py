"""Tells whoever reads a file how far `palimpsest onboard` is: the service does, when it adds a model."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain.contract import Progress
from app.domain.storage import durable_files

if TYPE_CHECKING:
    from workers.onboard import Telling
    from workers.onboarding.search import Tried

PAUSE_S = 1.0
"""At most once in this time the file is written."""


@dataclass
class TellingFile:
    """Writes ``Progress`` into a file, and hands on what it is told. minutes: what the search may take."""

    path: Path
    minutes: float
    tokens: int = 0
    searching: float | None = None
    written: float = field(default=float("-inf"))

    def telling(self, other: Telling) -> Telling:
        """What an onboarding tells, the other listener too."""
        from workers.onboard import Telling

        def tokens(count: int) -> None:
            self.tokens += count
            self._write(Progress(stage="statistics", step=self.tokens))
            other.tokens(count)

        def tried(trial: Tried) -> None:
            self.searching = time.monotonic() if self.searching is None else self.searching
            taken = (time.monotonic() - self.searching) / max(60 * self.minutes, 1.0)
            self._write(Progress(stage="search", share=round(0.5 + 0.4 * min(1.0, taken), 3)))
            other.tried(trial)

        return Telling(other.found, tokens, tried)

    def _write(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self.written >= PAUSE_S:
            self.written = now
            durable_files.replace_file(self.path, progress.model_dump_json().encode())
