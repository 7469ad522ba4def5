"""What a model's own texts begin with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from transformers import PreTrainedTokenizerFast

from app.domain.errors import RequestError
from workers.editing.text.chat_template import USER, ChatTemplate

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
    """A user's turn that is still to be written, and questions that are to be answered; none without a template."""
    chat = ChatTemplate.of(tokenizer)
    if not chat.openings:
        return
    before = (chat.attempt(("user", USER)) or "").partition(USER)[0]
    yield from [before] if before else []
    for question in QUESTIONS:
        with suppress(RequestError):
            yield chat.render([{"role": "user", "content": question}])
