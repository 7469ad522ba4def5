"""Where a data file's text comes from: bytes that are at hand, or a file, of which no more than a line is held."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from app.domain.imports.decoding import LONGEST_MARK, encoding_of, text_of

ANY_END, LINE_FEED = "", "\n"
"""How lines end, as ``open`` names it: as on any system, or with a line feed alone."""


class TextSource:
    """A text that can be read several times, as lines or whole."""

    def __init__(self, source: bytes | Path) -> None:
        """Take bytes or a file; what can be read once only, such as a pipe, is read now.

        Raises:
            UnreadableFile: the bytes are no text. OSError: the file is not there.
        """
        whole = source if isinstance(source, bytes) else None if source.is_file() else source.read_bytes()
        self._path = source if isinstance(source, Path) else None
        self._text = None if whole is None else text_of(whole)

    def lines(self, end: str) -> Iterator[str]:
        """Each line with its end, one of ``ANY_END`` and ``LINE_FEED``.

        Raises:
            UnreadableFile: the bytes are no text. OSError: the file cannot be read.
        """
        with self._opened(end) as file:
            try:
                yield from file
            except UnicodeDecodeError:
                self.whole()  # says where, of the whole file
                raise

    def first(self) -> str:
        """The first line that is not blank, with its end; empty if all are."""
        return next((line for line in self.lines(LINE_FEED) if line.strip()), "")

    def head(self) -> str:
        """The first line, blank or not, without its end."""
        return next(self.lines(LINE_FEED), "").removesuffix("\n")

    def whole(self) -> str:
        """All of it.

        Raises:
            UnreadableFile: the bytes are no text. OSError: the file cannot be read.
        """
        if self._text is not None:
            return self._text
        assert self._path is not None
        return text_of(self._path.read_bytes())

    @contextmanager
    def _opened(self, end: str) -> Iterator[TextIO]:
        if self._text is not None:
            yield io.StringIO(self._text, newline=end)
            return
        assert self._path is not None
        with self._path.open("rb") as file:
            mark, encoding = encoding_of(file.read(LONGEST_MARK))
            file.seek(len(mark))
            with io.TextIOWrapper(file, encoding=encoding, newline=end) as text:
                yield text
