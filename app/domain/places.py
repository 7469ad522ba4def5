"""Where a fact stands: what it is about (its place), and which column of a version's tensors carries it."""

from __future__ import annotations

from typing import NamedTuple, Self


class Place(NamedTuple):
    """A subject and a prompt, case and spacing aside. Facts of one place supersede each other."""

    subject: str
    prompt: str

    @classmethod
    def of(cls, subject: str, prompt: str) -> Self:
        """The place of a fact. ``prompt`` has one ``{}`` where the subject stands."""
        return cls(_normalised(subject), _normalised(prompt))


def _normalised(text: str) -> str:
    return " ".join(text.split()).casefold()


class Column(NamedTuple):
    """One column of a version's tensors: of its factors, and of its keys."""

    version: int
    position: int
