"""The texts that a model's statistics were taken over, its own or a corpus's, as a file beside them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

Texts = tuple[tuple[int, ...], ...]
"""Rows of token ids; a model's own with the opening that each began with."""


class KeptTexts(BaseModel):
    """The texts that C is over, so that another layer's C can be taken over the same; and others.

    change: by layer, how far C had settled (``Settled.change``); None where it cannot be told. held_out: not in C, for
    measuring what an edit does to the model. corpus: the name of the file or data set that they are of; None: the model
    wrote them.
    """

    model_config = ConfigDict(frozen=True)

    tokens: int
    settled: bool
    change: dict[int, float | None]
    texts: Texts
    held_out: Texts
    corpus: str | None = None

    @classmethod
    def beside(cls, statistics: Path) -> Self | None:
        """Those that lie beside a file of statistics, if there are any."""
        path = texts_path(statistics)
        return cls.model_validate_json(path.read_text(encoding="utf-8")) if path.is_file() else None

    def save_beside(self, statistics: Path) -> None:
        """Write them, whole or not at all: other workers may write the same."""
        path = texts_path(statistics)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
        scratch.write_text(self.model_dump_json(), encoding="utf-8")
        scratch.replace(path)


def texts_path(statistics: Path) -> Path:
    """``<name>-texts.json`` for ``<name>.safetensors``."""
    return statistics.with_name(f"{statistics.stem}-texts.json")
