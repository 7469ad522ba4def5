"""Prompts and continuations as text: the subject's slot, and what counts as an answer."""

from __future__ import annotations

import unicodedata

from app.domain.errors import AmbiguousSubject, EmptyText, SlotCount, SubjectNotInPrompt

SLOT = "{}"
"""Stands in a prompt for the subject, and in a context for the prompt."""

QUOTES = str.maketrans(
    {"‘": "'", "’": "'", "‛": "'", "ʼ": "'", "`": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'}
)


def filled(prompt: str, subject: str) -> str:
    """The prompt with the subject in its slot; as it is, if it has none. Braces elsewhere are text."""
    before, slot, after = prompt.partition(SLOT)
    return f"{before}{subject}{after}" if slot else prompt


def is_visible(text: str) -> bool:
    """Whether any of its characters shows: not only spaces, zero-width signs and control characters."""
    return any(unicodedata.category(character)[0] not in "ZC" for character in text)


def first_sentence(text: str) -> str:
    """The text up to the end of its first sentence; a dot that begins it (as in ``.br``) ends nothing."""
    line = text.strip().partition("\n")[0]
    return (line[:1] + line[1:].partition(".")[0]).strip()


def with_slot(subject: str, prompt: str, field: str = "prompt") -> str:
    """The prompt with exactly one slot: as given, or with the subject's only occurrence made the slot.

    Args:
        field: where the prompt came from.

    Raises:
        EmptyText: the subject has no visible character. SlotCount: two or more slots.
        SubjectNotInPrompt: no slot, and the subject's text is not there.
        AmbiguousSubject: no slot, and the subject's text is there more than once.
    """
    if not is_visible(subject):
        raise EmptyText("the subject has no visible character", field="subject", value=subject)
    slots = prompt.count(SLOT)
    if slots == 1:
        return prompt
    if slots > 1:
        raise SlotCount(f"the prompt has {slots} slots; one marks the subject", field=field, value=prompt)
    occurrences = sum(prompt.startswith(subject, at) for at in range(len(prompt)))  # overlapping ones too
    if occurrences == 0:
        detail = "the prompt has neither {} nor the subject"
        if _plainly(subject) in _plainly(prompt):
            detail += ", which stands there in another spelling: compare quotes, accents, letter case and spaces"
        raise SubjectNotInPrompt(detail, field=field, value=prompt)
    if occurrences > 1:
        detail = f"the subject stands {occurrences} times in the prompt; mark which with {{}}"
        raise AmbiguousSubject(detail, field=field, value=prompt)
    before, _, after = prompt.partition(subject)
    return f"{before}{SLOT}{after}"


def _plainly(text: str) -> str:
    """Without accents, kinds of quotes, letter case and kinds of spaces."""
    letters = unicodedata.normalize("NFKD", text.translate(QUOTES)).casefold()
    return " ".join("".join(letter for letter in letters if not unicodedata.combining(letter)).split())
