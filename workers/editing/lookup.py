"""From a prompt, a subject and an object to token ids and the lookup token (the subject's last).

User text is never formatted: a slot is found by ``str.partition``, so that braces in it stay what they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from app.domain.errors import AmbiguousSubject, EmptyText, PromptTooLong, RequestError, SlotCount, SubjectNotInPrompt
from app.domain.prompts import SLOT, is_visible
from workers.editing.types import Fact


@dataclass(frozen=True, slots=True)
class Row:
    """One tokenised prompt. ``lookup`` is the index in ``ids`` of the subject's last token."""

    ids: tuple[int, ...]
    lookup: int

    @property
    def stem(self) -> tuple[int, ...]:
        """The ids up to and including the lookup token: all that the key depends on."""
        return self.ids[: self.lookup + 1]


def with_slot(subject: str, prompt: str) -> str:
    """The prompt with exactly one slot: as given, or with the subject's only occurrence made the slot.

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
        raise SlotCount(f"the prompt has {slots} slots; one marks the subject", field="prompt", value=prompt)
    occurrences = sum(prompt.startswith(subject, at) for at in range(len(prompt)))  # overlapping ones too
    if occurrences == 0:
        raise SubjectNotInPrompt("the prompt has neither {} nor the subject", field="prompt", value=prompt)
    if occurrences > 1:
        detail = f"the subject stands {occurrences} times in the prompt; mark which with {{}}"
        raise AmbiguousSubject(detail, field="prompt", value=prompt)
    before, _, after = prompt.partition(subject)
    return f"{before}{SLOT}{after}"


def subject_row(tokenizer: PreTrainedTokenizerFast, before: str, subject: str, after: str) -> Row:
    """Tokenise ``before + subject + after`` as a prompt and find the subject's last token by its offsets.

    The name of a special token in it is text like any other. Offsets, because a subject's last token may merge with
    what follows it.

    Raises:
        EmptyText: the subject leaves no token.
    """
    if not is_visible(subject):
        raise EmptyText("the subject has no visible character", field="subject", value=subject)
    encoding = tokenizer(_unicode(before + subject + after), return_offsets_mapping=True, split_special_tokens=True)
    start, end = len(before), len(before) + len(subject.rstrip())
    inside = [i for i, (a, b) in enumerate(encoding["offset_mapping"]) if a < end and b > start and a < b]
    if not inside:
        raise EmptyText("the subject leaves no token", field="subject", value=subject)
    return Row(tuple(encoding["input_ids"]), inside[-1])


def object_ids(tokenizer: PreTrainedTokenizerFast, text: str, field: str = "object") -> tuple[int, ...]:
    """Ids of ``" " + text``, tokenised alone and without special tokens; white space around the text is no part of it.

    field: where the text came from.

    Raises:
        EmptyText: it has no visible character, or nothing is left after tokenising.
    """
    spaced = _unicode(f" {text.strip()}")
    ids = tokenizer(spaced, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    if not is_visible(text) or not ids:
        raise EmptyText("the object leaves no token", field=field, value=text)
    return tuple(ids)


def _unicode(text: str) -> str:
    """The text, if it can be encoded: JSON can smuggle in half of a surrogate pair.

    Raises:
        RequestError: it cannot.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RequestError("the text has a lone surrogate", field="prompt", value=repr(text[error.start])) from None
    return text


@dataclass(frozen=True, slots=True)
class TokenisedFact:
    """A fact as the model sees it.

    prompts: one row a context, the bare prompt first.
    object: ids of the object.
    essence: the row of "{subject} is a", whose next-token distribution shall stay.
    """

    fact: Fact
    prompts: tuple[Row, ...]
    object: tuple[int, ...]
    essence: Row


def tokenise(tokenizer: PreTrainedTokenizerFast, fact: Fact, contexts: Sequence[str], window: int) -> TokenisedFact:
    """Tokenise one fact in all its contexts. ``window`` is the longest sequence in tokens.

    Raises:
        SlotCount, SubjectNotInPrompt, AmbiguousSubject, EmptyText, PromptTooLong: as their names say.
    """
    before, _, after = with_slot(fact.subject, fact.prompt).partition(SLOT)
    prompts = []
    for context in contexts:
        left, _, right = context.partition(SLOT)
        prompts.append(subject_row(tokenizer, left + before, fact.subject, after + right))
    target = object_ids(tokenizer, fact.object)
    longest = max(len(row.ids) for row in prompts) + len(target)
    if longest > window:
        detail = f"prompt, contexts and object take {longest} tokens; the model's window is {window}"
        raise PromptTooLong(detail, field="prompt", value=fact.prompt)
    return TokenisedFact(fact, tuple(prompts), target, subject_row(tokenizer, "", fact.subject, " is a"))
