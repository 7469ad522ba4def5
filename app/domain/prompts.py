"""Prompts and continuations as text: the subject's slot, and what counts as an answer."""

from __future__ import annotations

SLOT = "{}"
"""Stands in a prompt for the subject, and in a context for the prompt."""


def filled(prompt: str, subject: str) -> str:
    """The prompt with the subject in its slot; as it is, if it has none. Braces elsewhere are text."""
    before, slot, after = prompt.partition(SLOT)
    return f"{before}{subject}{after}" if slot else prompt


def first_sentence(text: str) -> str:
    """The text up to the end of its first sentence; a dot that begins it (as in ``.br``) ends nothing."""
    line = text.strip().partition("\n")[0]
    return (line[:1] + line[1:].partition(".")[0]).strip()
