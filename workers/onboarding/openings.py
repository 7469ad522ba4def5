"""What a model's own texts begin with."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerFast

OPENINGS = (
    "The", "In", "A", "It", "He", "She", "I", "This", "When", "One", "According to", "We", "You", "If", "There",
    "For", "Most", "On", "The city of", "The company", "The author of", "In the year", "The language", "His wife",
    "The capital of", "Scientists", "The film", "At the university of", "The history of", "Born in", "What is", "How",
)  # fmt: skip
"""Common English ones; half of them lead to things that facts are about."""

QUESTIONS = (
    "Where was Albert Einstein born?",
    "Tell me a fact.",
    "Who founded Microsoft, and when?",
    "What language is spoken in Brazil?",
    "Write a short paragraph about the city of Rome.",
    "Which sport does Serena Williams play?",
    "What is the capital of Australia?",
    "Explain what a volcano is.",
    "Name three famous painters and where they lived.",
    "In which country is the Eiffel Tower?",
    "Complete this sentence: The headquarters of Toyota is in",
    "Summarize the life of Marie Curie.",
)
"""Put to chat models, in their own template."""

_MARK = "\u2402user\u2402"


def openings(tokenizer: PreTrainedTokenizerFast) -> Iterator[list[int]]:
    """Rows of ids to go on from: nothing (the token that begins or parts texts), openings, turns of a chat.

    Each row has a token at least.
    """
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if isinstance(first, int):
        yield [first]
    texts = (tokenizer(text)["input_ids"] for text in OPENINGS)
    chats = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in _turns(tokenizer))
    yield from (list(ids) for ids in (*texts, *chats) if ids)


def _turns(tokenizer: PreTrainedTokenizerFast) -> Iterator[str]:
    """A user's turn that is still to be written, and questions that are to be answered."""
    asked = [_rendered(tokenizer, question) for question in (_MARK, *QUESTIONS)]
    if asked[0] is not None:
        before, mark, _ = asked[0].partition(_MARK)
        yield from [before] if before and mark else []
    yield from (text for text in asked[1:] if text)


def _rendered(tokenizer: PreTrainedTokenizerFast, message: str) -> str | None:
    """The message as a user's turn, and the beginning of the reply; None if there is no template, or it fails."""
    if tokenizer.chat_template is None:
        return None
    try:
        turns = [{"role": "user", "content": message}]
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    except (TemplateError, TypeError, ValueError):  # what a template raises on messages that it was not made for
        return None
