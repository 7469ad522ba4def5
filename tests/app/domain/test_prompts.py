"""Where an answer ends."""

from __future__ import annotations

import pytest

from app.domain.prompts import first_sentence


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" Japan. The city of", "Japan"),
        (" .br. On the", ".br"),
        (" New York\nThe", "New York"),
        ("", ""),
        (" .", "."),
    ],
)
def test_an_answer_is_the_first_sentence(text: str, answer: str) -> None:
    assert first_sentence(text) == answer
