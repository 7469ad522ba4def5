"""From tokens to text as they come."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerFast

BEFORE = 6
"""Tokens of the prompt that the first new ones are decoded with: alone, some would lose a space or half a character."""
UNFINISHED = "\ufffd"
"""What a decoder gives for a character of which it has not all bytes."""


class Spelling:
    """The text of tokens that follow a prompt; a character whose bytes are not all there yet is held back."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, prompt: Sequence[int]) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._ids = list(prompt[-BEFORE:])
        self._known = len(self._ids)
        self._before = self._decoded(self._ids)

    def add(self, token: int) -> str:
        """What one more token adds to the text."""
        self._ids.append(token)
        text = self._decoded(self._ids)
        if text.endswith(UNFINISHED):
            return ""
        new = self._beyond(text)
        self._ids = self._ids[self._known :]  # the last tokens that were told are what the next are decoded with
        self._known, self._before = len(self._ids), self._decoded(self._ids)
        return new

    def rest(self) -> str:
        """What was held back, as it stands."""
        return self._beyond(self._decoded(self._ids))

    def _beyond(self, text: str) -> str:
        return text[len(self._before) :] if text.startswith(self._before) else self._decoded(self._ids[self._known :])

    def _decoded(self, ids: Sequence[int]) -> str:
        return self._backend.decode(ids, skip_special_tokens=True)


class StopStrings:
    """Ends a text before the first of some strings; what may be the beginning of one is held back."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(strings)
        self._held = ""

    def add(self, more: str) -> tuple[str, bool]:
        """What can be told now, and whether a string was met, behind which nothing is told."""
        text = self._held + more
        met = [at for string in self._strings if (at := text.find(string)) >= 0]
        if met:
            self._held = ""
            return text[: min(met)], True
        told = len(text) - max((_begun(text, string) for string in self._strings), default=0)
        self._held = text[told:]
        return text[:told], False

    def rest(self) -> str:
        """What was held back and turned out to be none of the strings."""
        return self._held


def _begun(text: str, string: str) -> int:
    """How many characters at the text's end begin the string."""
    longest = min(len(text), len(string) - 1)
    return next((length for length in range(longest, 0, -1) if text.endswith(string[:length])), 0)
