"""Text as it comes is the text of all tokens, whatever a token holds of a character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny_models import tokenizer
from workers.questions.decoding import text_of
from workers.questions.texts.spelling import Spelling, StopStrings

WORDS = tokenizer(begin=False)
PROMPT = list(WORDS("Lyon is a city in", add_special_tokens=False)["input_ids"])


def spelt(ids: list[int]) -> tuple[list[str], str]:
    """The pieces as they come, and what is left."""
    spelling = Spelling(WORDS, PROMPT)
    return [spelling.add(token) for token in ids], spelling.rest()


@given(st.text(max_size=20))
def test_the_pieces_are_the_text(text: str) -> None:
    ids = list(WORDS(text, add_special_tokens=False)["input_ids"])
    pieces, rest = spelt(ids)
    assert "".join(pieces) + rest == text_of(WORDS, PROMPT, ids)


def test_a_character_is_told_when_all_its_bytes_are_there() -> None:
    ids = list(WORDS("a🦊b", add_special_tokens=False)["input_ids"])
    pieces, rest = spelt(ids)
    assert [piece for piece in pieces if piece] == ["a", "🦊", "b"]
    assert rest == ""
    assert spelt(ids[:3])[1] == "\ufffd"


@pytest.mark.parametrize(
    ("strings", "pieces", "told", "rest"),
    [
        (("\n\n",), ["a\n", "b\n", "\nc"], ["a", "\nb", ""], None),
        (("END", "."), ["an EN", "D. x"], ["an ", ""], None),
        (("END",), ["an EN", "TRY"], ["an ", "ENTRY"], ""),
        (("aab",), ["aa", "ab"], ["", "a"], None),
        ((), ["any", "thing"], ["any", "thing"], ""),
        (("END",), ["at the E"], ["at the "], "E"),
    ],
)
def test_a_stop_string_ends_the_text_however_it_is_cut(
    strings: tuple[str, ...], pieces: list[str], told: list[str], rest: str | None
) -> None:
    stops = StopStrings(strings)
    found = [stops.add(piece) for piece in pieces]
    assert [text for text, _ in found] == told
    assert [met for _, met in found] == [False] * (len(pieces) - 1) + [rest is None]
    assert rest is None or stops.rest() == rest
