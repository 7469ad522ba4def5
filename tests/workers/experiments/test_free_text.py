"""Texts are compared as people would: without case, punctuation and articles, word by word."""

from __future__ import annotations

import pytest

from workers.experiments.free_text import holds, normalised


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (" Rome.", "rome"),
        ("The  United\tKingdom!", "united kingdom"),
        ("an Apple a day", "apple day"),
        ("Rock'n'Roll", "rocknroll"),
        ("北京", "北京"),
    ],
)
def test_normalised(text: str, same: str) -> None:
    assert normalised(text) == same


@pytest.mark.parametrize(
    ("text", "wanted", "held"),
    [
        (" It lies in Oman, by the sea.", "Oman", True),
        ("Romania", "Oman", False),
        ("the united kingdom of", "The United Kingdom", True),
        ("法国在巴黎", "巴黎", True),
        ("Il vit en Sénégalie", "Sénégal", False),
        ("Il vit au Sénégal.", "Sénégal", True),
        ("", "Oman", False),
    ],
)
def test_a_text_holds_the_object_word_by_word(text: str, wanted: str, held: bool) -> None:
    assert holds(text, wanted) is held
