"""The form of a log line on both sides: its fields, and never a fact's text.

What a caller wrote gets into a log by an exception's words (its message, a validation error that quotes the input) or
by an object's repr. So every line, whoever logs it, shows of an exception only its type, the places in the code, what
the operating system says, and the sentence of an error of ours, which has no fact's text (see ``PalimpsestError``);
of any other object, only the type. A text that is handed over as a text is shown: never hand a logger an error's
``str``.
"""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Iterator, Mapping
from enum import Enum
from itertools import islice
from numbers import Number
from pathlib import PurePath
from types import TracebackType

from app.domain.errors import PalimpsestError
from app.domain.origin import job_id, request_id

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
FIELDS = ("job_id", "model", "version", "method", "layer", "facts", "seconds", "request_id")
"""What ``extra`` may carry, in the order in which a line shows it. Request and job are otherwise those at hand."""

OURS = ("app", "workers")
MOST_FRAMES = 40
MOST_CAUSES = 8
FRAME = re.compile(r' {2}File ".*", line \d+')


class Formatter(logging.Formatter):
    """One line a record, with its fields; then, if it has an exception, its types and places."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """All that is shown of a record, which stays as it is for other handlers."""
        shown = logging.makeLogRecord(record.__dict__)
        shown.msg, shown.args = self.message_of(record), None
        shown.exc_text = None  # made by another formatter, with the exception's message
        return super().format(shown)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The record's line, before any exception."""
        fields = [f"{name}={value}" for name, value in self.fields_of(record).items()]
        return " ".join([super().formatMessage(record), *fields])

    @staticmethod
    def message_of(record: logging.LogRecord) -> str:
        """The record's message, on one line."""
        return on_one_line(_message(record))

    @staticmethod
    def fields_of(record: logging.LogRecord) -> dict[str, str | int | float]:
        """What the record carries, and the request and the job that are at hand where it is written."""
        at_hand = {"request_id": request_id.get(), "job_id": job_id.get()}
        given = {name: getattr(record, name, None) for name in FIELDS}
        found = {name: at_hand.get(name) if value is None else value for name, value in given.items()}
        return {name: _field(value) for name, value in found.items() if value is not None}

    def formatException(  # noqa: N802 - logging's name
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        """The exception below what caused it: types and places, but no words."""
        return "" if ei[1] is None else "\n".join(_traceback(ei[1]))


def described(error: BaseException) -> str:
    """An exception on one line, without a caller's words.

    An error of ours in its own sentence; one of the operating system in the system's, with the file; of any other, the
    type, the place in our code, and what caused it.
    """
    own = _own_words(error)
    if isinstance(error, PalimpsestError):
        return own
    causes = [f"{_kind(each)}{_own_words(each, ': ')}" for each in _chain(error)]
    frames = [(frame.f_globals.get("__name__", "?"), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    ours = [place for place in frames if place[0].partition(".")[0] in OURS]
    at = [f" at {module}:{line}" for module, line in (ours or frames)[-1:]]
    return ", from ".join([causes[0] + "".join(at), *causes[1:]])


def on_one_line(text: str) -> str:
    """The text with all escaped that would end the line or move a terminal's cursor."""
    kept = (each if each.isprintable() else each.encode("unicode_escape").decode() for each in text.strip())
    return "".join(kept)


# --- what is shown ---------------------------------------------------------------------------------


class _Words(str):
    """A text that ``%r`` shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _message(record: logging.LogRecord) -> str:
    text = str(_shown(record.msg))
    if record.args:
        given = record.args
        shown = {key: _shown(each) for key, each in given.items()} if isinstance(given, Mapping) else _each(given)
        try:
            text %= shown
        except (TypeError, ValueError, KeyError):  # logging itself would print them
            text = f"{text} (its arguments do not fit)"
    if record.name == "asyncio":  # the lines below the first are reprs, of a future and its exception for instance
        text = text.partition("\n")[0]
    return _without_words(text)


def _each(values: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(_shown(value) for value in values)


def _field(value: object) -> str | int | float:
    return value if isinstance(value, int | float) else on_one_line(str(_shown(value)))


def _shown(value: object) -> object:
    match value:
        case None | str() | Number() | Enum():
            return value
        case PurePath():
            return str(value)
        case BaseException():
            return _Words(described(value))
        case tuple():
            return _each(value)
        case list() | set() | frozenset():
            return list(_each(tuple(value)))
        case _:
            return _Words(f"<{type(value).__qualname__}>")


def _without_words(text: str) -> str:
    """The text, with a traceback in it cut down to types and places: some libraries log one as their message."""
    before, mark, after = text.partition("Traceback (most recent call last):")
    if not mark:
        return text
    kept = [before.strip()]
    after_frames = False
    for line in after.splitlines():
        if FRAME.match(line):
            kept.append(line.strip())
            after_frames = True
        elif after_frames and not line.startswith(" "):
            kept.append(line.partition(":")[0] if re.match(r"[\w.]+(:|$)", line) else "?")
            after_frames = False
    return "; ".join(filter(None, kept))


def _traceback(error: BaseException) -> Iterator[str]:
    chain = list(_chain(error))
    for each in reversed(chain):
        yield from _frames(each)
        yield f"{_kind(each)}{_own_words(each, ': ')}"
        if isinstance(each, BaseExceptionGroup):
            for number, part in enumerate(each.exceptions, start=1):
                yield from (f"  {number} | {line}" for line in _traceback(part))
        if each is not error:
            yield "which led to"


def _frames(error: BaseException) -> Iterator[str]:
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    if len(frames) > MOST_FRAMES:
        yield f"  {len(frames) - MOST_FRAMES} outer calls"
    for code, line in frames[-MOST_FRAMES:]:
        yield f'  File "{code.co_filename}", line {line}, in {code.co_qualname}'


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, what caused that, as far as Python would show it."""

    def all_of_it() -> Iterator[BaseException]:
        each: BaseException | None = error
        while each is not None:
            yield each
            each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)

    return islice(all_of_it(), MOST_CAUSES)


def _kind(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _own_words(error: BaseException, before: str = "") -> str:
    """What may be said of an exception's message, if anything."""
    match error:
        case PalimpsestError():
            return f"{before}{error.detail}"
        case OSError(errno=int() as number):
            file = f": {error.filename!r}" if isinstance(error.filename, str | PurePath) else ""
            return f"{before}[Errno {number}] {os.strerror(number)}{file}"
    return ""
