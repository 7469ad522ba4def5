"""What counts as an answer in a free continuation."""

from __future__ import annotations


def first_sentence(text: str) -> str:
    """The text up to the end of its first sentence; a dot that begins it (as in ``.br``) ends nothing."""
    line = text.strip().partition("\n")[0]
    return (line[:1] + line[1:].partition(".")[0]).strip()
