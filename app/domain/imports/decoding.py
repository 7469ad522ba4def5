"""A file's bytes as text."""

from __future__ import annotations

import codecs

from app.domain.errors import UnreadableFile

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
LONGEST_MARK = max(len(mark) for mark, _ in MARKS)
EXCERPT = 20
"""Bytes shown before and after what cannot be read."""


def encoding_of(head: bytes) -> tuple[bytes, str]:
    """The byte order mark that a file begins with, if any, and the encoding that it says; without one UTF-8."""
    return next((each for each in MARKS if head.startswith(each[0])), (b"", "utf-8"))


def text_of(data: bytes) -> str:
    """The text: what its byte order mark says, else UTF-8. Nothing is guessed: a wrong guess would be written into a
    model.

    Raises:
        UnreadableFile: the bytes are no such text; the value shows them where they break.
    """
    mark, encoding = encoding_of(data)
    body = data[len(mark) :]
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        at, place = error.start, len(mark) + error.start
        wrong = data[place]
        detail = (
            f"The file is not {encoding.upper()}: byte {place} (0x{wrong:02x}) cannot be read. "
            "Convert it to UTF-8, from Windows-1252 for instance: iconv -f CP1252 -t UTF-8."
        )
        raise UnreadableFile(detail, value=body[max(0, at - EXCERPT) : at + EXCERPT]) from None
