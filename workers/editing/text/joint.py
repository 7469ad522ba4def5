"""Where an object joins its prompt: its ids are what follows the prompt's own in the ids of the whole text."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from app.domain.errors import EmptyText
from app.domain.prompts import is_visible
from workers.editing.text.model_text import ModelText

WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "FULLWIDTH", "HALFWIDTH")
"""How Unicode begins the names of the characters of scripts written without spaces."""

THEIR_PUNCTUATION = range(0x3000, 0x3040)

QUOTES = "\"'`"
"""They open and close alike; one that stands after white space, or first, opens."""

STARTS = ("(", "\n")
"""What an object is put behind where its prompt's tokens do not go on with it."""

TRIALS = (
    ("The capital of France is", "Paris"),
    ("She was born in the city of", "New York"),
    ("The currency used there:", "the yen"),
    ("Its chief officer is Dr.", "O'Neill"),
    ("In 1969, they were", "42 years old"),
)
"""A tokenizer is tried on these when its model is loaded."""


@dataclass(frozen=True, slots=True)
class Joint:
    """A prompt and the object that continues it, as ids; ``whole``: together they are what the whole text's ids are."""

    prompt: tuple[int, ...]
    object: tuple[int, ...]
    whole: bool


def joint(words: ModelText, prompt: str, text: str, field: str = "object") -> Joint:
    """Tokenise a prompt with its object, between them a space where one belongs. White space around the object is none.

    Where the prompt's tokens are no beginning of the whole text's, the object is tokenised alone.

    Args:
        field: where the object came from.

    Raises:
        EmptyText: the object has no visible character, or leaves no token.
        RequestError: a text cannot be encoded.
    """
    wanted = text.strip()
    if not is_visible(wanted):
        raise EmptyText("the object leaves no token", field=field, value=text)
    spaced = gap(words, prompt, wanted) + wanted
    before, found = words.encode(prompt).ids, words.continued(prompt, spaced).ids
    if found[: len(before)] == before and len(found) > len(before):
        return Joint(before, found[len(before) :], whole=True)
    return Joint(before, _alone(words, spaced, text, field), whole=False)


def object_ids(words: ModelText, text: str, field: str = "object") -> tuple[int, ...]:
    """Ids of an object after a space, whatever the prompt.

    Raises:
        EmptyText: it has no visible character, or leaves no token.
    """
    if not is_visible(text):
        raise EmptyText("the object leaves no token", field=field, value=text)
    return _alone(words, f" {text.strip()}", text, field)


def gap(words: ModelText, prompt: str, text: str) -> str:
    """What stands between a prompt and its object: a space, but

    nothing after white space or what opens a quotation or a bracket, nor between two characters of scripts written
    without spaces; and what the chat template writes where a reply begins.
    """
    if words.chat.opens_reply(prompt):
        return words.chat.gap
    last, first = prompt[-1:] or " ", text[0]
    if last.isspace() or _opens(prompt) or (without_spaces(last) and without_spaces(first)):
        return ""
    return " "


def misfits(words: ModelText) -> list[int]:
    """Which of ``TRIALS`` do not come out as the whole text's ids; none, with any tokenizer known."""
    return [index for index, (prompt, text) in enumerate(TRIALS) if not joint(words, prompt, text).whole]


def _alone(words: ModelText, spaced: str, text: str, field: str) -> tuple[int, ...]:
    """Ids behind something that leaves it as it is: alone, some tokenizers put a space or a token for one before it."""
    found = words.literal(spaced)
    for start in STARTS:
        before, whole = words.literal(start), words.literal(start + spaced)
        if whole[: len(before)] == before:
            found = whole[len(before) :]
            break
    if not found:
        raise EmptyText("the object leaves no token", field=field, value=text)
    return found


def _opens(prompt: str) -> bool:
    """Whether the prompt ends in what opens a quotation or a bracket."""
    last, before = prompt[-1], prompt[-2:-1]
    if last in QUOTES:
        return not before or before.isspace() or unicodedata.category(before) in {"Ps", "Pi"}
    return unicodedata.category(last) in {"Ps", "Pi"}


def without_spaces(character: str) -> bool:
    """Whether a character is of a script that is written without spaces."""
    return unicodedata.name(character, "").startswith(WITHOUT_SPACES) or ord(character) in THEIR_PUNCTUATION
