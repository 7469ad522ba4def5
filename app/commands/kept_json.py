"""JSON that comes bit by bit and is printed in one: until then it lies in a temporary file."""

from __future__ import annotations

import shutil
import sys
import tempfile
from textwrap import indent
from types import TracebackType
from typing import Self

from pydantic import BaseModel

IN_MEMORY = 1_000_000
"""Characters that need no file."""


class KeptJson:
    """Models as the JSON of a list, of which none is held any more once it was added."""

    def __init__(self) -> None:
        self._texts = tempfile.SpooledTemporaryFile(IN_MEMORY, "w+", encoding="utf-8")  # noqa: SIM115 - closed by ``with``
        self._any = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._texts.close()

    def add(self, told: BaseModel) -> None:
        """One more."""
        self._texts.write(",\n" if self._any else "\n")
        self._texts.write(indent(told.model_dump_json(indent=2), "    "))
        self._any = True

    def print_within(self, outer: BaseModel, name: str) -> None:
        """Print a model as ``print_json`` does, with these in the place of its list ``name``."""
        empty = f'\n  "{name}": ['  # so far in, and behind a line's end, no text of the model's can stand
        text = outer.model_copy(update={name: ()}).model_dump_json(indent=2)
        before, found, after = text.partition(empty)
        assert found
        sys.stdout.write(before + found)
        self._texts.seek(0)
        shutil.copyfileobj(self._texts, sys.stdout)
        sys.stdout.write(("\n  " if self._any else "") + after + "\n")
