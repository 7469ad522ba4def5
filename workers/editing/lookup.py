"""From a prompt, a subject and an object to token ids and the lookup token (the subject's last).

User text is never formatted: a slot is found by ``str.partition``, so that braces in it stay what they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.errors import EmptyText, PromptTooLong, RequestError
from app.domain.prompts import SLOT, filled, is_visible, with_slot
from workers.editing.text.joint import joint
from workers.editing.text.model_text import ModelText
from workers.editing.types import Fact


@dataclass(frozen=True, slots=True)
class Row:
    """One tokenised prompt.

    lookup: the index in ``ids`` of the subject's last token.
    swallowed: how many visible characters after the subject that token covers as well.
    """

    ids: tuple[int, ...]
    lookup: int
    swallowed: int = 0

    @property
    def stem(self) -> tuple[int, ...]:
        """The ids up to and including the lookup token: all that the key depends on."""
        return self.ids[: self.lookup + 1]


def subject_row(words: ModelText, before: str, subject: str, after: str, context: str = SLOT) -> Row:
    """Tokenise ``before + subject + after`` in a context, and find the subject's last token by its offsets.

    Offsets, because a subject's last token may merge with what follows it.

    Raises:
        EmptyText: the subject leaves no token.
        RequestError: the text cannot be encoded.
    """
    if not is_visible(subject):
        raise EmptyText("the subject has no visible character", field="subject", value=subject)
    left, _, right = context.partition(SLOT)
    text = before + subject + after
    found = words.within(left, text, right)
    start = len(left) + len(before)
    end = start + len(subject.rstrip())
    inside = [i for i, (a, b) in enumerate(found.offsets) if a < end and b > start and a < b]
    if not inside:
        raise EmptyText("the subject leaves no token", field="subject", value=subject)
    covered = (left + text + right)[end : found.offsets[inside[-1]][1]]
    return Row(found.ids, inside[-1], sum(not character.isspace() for character in covered))


@dataclass(frozen=True, slots=True)
class Continued:
    """A prompt, and the ids of the object as they follow it, with the end of the turn if the fact asks for it.

    whole: together they are what the whole text's ids are (``joint``).
    """

    row: Row
    object: tuple[int, ...]
    whole: bool = True


@dataclass(frozen=True, slots=True)
class TokenisedFact:
    """A fact as the model sees it.

    within: the prompt in each context, the bare one first. The object differs: a reply in a chat begins with no space,
        where a sentence goes on with one.
    essence: the row of "{subject} is a", whose next-token distribution shall stay.
    warnings: what a caller should know of how the fact was read; sentences without the fact's text.
    contexts: those of ``within``.
    taught: its taught prompts, bare: each counts in keys and in the loss as one more context does.
    """

    fact: Fact
    within: tuple[Continued, ...]
    essence: Row
    warnings: tuple[str, ...] = ()
    contexts: tuple[str, ...] = (SLOT,)
    taught: tuple[Continued, ...] = ()

    @property
    def prompts(self) -> tuple[Row, ...]:
        """The rows of ``within``."""
        return tuple(each.row for each in self.within)

    @property
    def object(self) -> tuple[int, ...]:
        """The object's ids behind the bare prompt."""
        return self.within[0].object

    @property
    def continued(self) -> tuple[Continued, ...]:
        """Every row that the object shall follow: the bare prompt's, its contexts', and those of taught prompts."""
        return (*self.within, *self.taught)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of ``continued``."""
        return tuple(each.row for each in self.continued)

    @property
    def asked(self) -> str:
        """The text that the object shall follow: the bare prompt, unless it was taken out (``sinks``)."""
        return filled(self.contexts[0], self.fact.text)


def tokenise(words: ModelText, fact: Fact, contexts: Sequence[str], window: int) -> TokenisedFact:
    """Tokenise one fact in its contexts: in all that fit into the window, or, if its prompt is rendered, in none.

    Its taught prompts stand in no context.

    Args:
        contexts: the bare ``{}`` first.
        window: the longest sequence in tokens.

    Raises:
        SlotCount, SubjectNotInPrompt, AmbiguousSubject, EmptyText, PromptTooLong: as their names say.
        RequestError: a text cannot be encoded, or the model has no token to end a turn with.
    """
    bare = _continued(words, fact, fact.prompt, window, "prompt")
    taught = tuple(
        _continued(words, fact, prompt, window, f"taught.{index}") for index, prompt in enumerate(fact.taught)
    )
    others = [] if words.chat.recognised(fact.text) else contexts[1:]
    found = {context: _in_context(words, fact, context, bare.object) for context in others}
    fitting = {context: each for context, each in found.items() if len(each.row.ids) + len(each.object) <= window}
    warnings = _warnings(bare, taught, len(found) - len(fitting))
    essence = subject_row(words, "", fact.subject, " is a")
    return TokenisedFact(fact, (bare, *fitting.values()), essence, warnings, (contexts[0], *fitting), taught)


def _in_context(words: ModelText, fact: Fact, context: str, bare: tuple[int, ...]) -> Continued:
    """The fact's prompt in a context. ``bare``: the object behind the bare prompt, and in any context but a chat's."""
    before, _, after = with_slot(fact.subject, fact.prompt).partition(SLOT)
    row = subject_row(words, before, fact.subject, after, context)
    whole = filled(context, fact.text)
    if not words.chat.recognised(whole):
        return Continued(row, bare)
    return Continued(row, joint(words, whole, fact.object).object + _end_of_turn(words, fact, rendered=True))


def _continued(words: ModelText, fact: Fact, prompt: str, window: int, field: str) -> Continued:
    """One of the fact's prompts, in no context, with the object as it follows there. ``field``: of the prompt."""
    before, _, after = with_slot(fact.subject, prompt, field).partition(SLOT)
    text = before + fact.subject + after
    joined = joint(words, text, fact.object)
    target = joined.object + _end_of_turn(words, fact, rendered=words.chat.recognised(text))
    row = subject_row(words, before, fact.subject, after)
    if (length := len(row.ids) + len(target)) > window:
        detail = f"prompt and object take {length} tokens; the model's window is {window}"
        raise PromptTooLong(detail, field=field, value=prompt)
    return Continued(row, target, joined.whole)


def _end_of_turn(words: ModelText, fact: Fact, *, rendered: bool) -> tuple[int, ...]:
    if not fact.stop:
        return ()
    end = words.turn_end(rendered=rendered)
    if end is None:
        raise RequestError("the model's tokenizer has no end token to stop with", field="stop", value=True)
    return (end,)


def _warnings(bare: Continued, taught: Sequence[Continued], left_out: int) -> tuple[str, ...]:
    found = []
    for name, each in (("the prompt", bare), *(("a taught paraphrase", each) for each in taught)):
        where = "" if each is bare else f" in {name}"
        if each.row.swallowed:
            found.append(
                f"the subject's last token covers {each.row.swallowed} characters after it too{where}: the edit hangs "
                "on them as well"
            )
        if not each.whole:
            found.append(
                f"{name}'s last token changes where the object is written behind it (a space at the end does so): the "
                "object was taken as it continues the prompt's own tokens"
            )
    if left_out:
        found.append(f"{left_out} of the model's contexts do not fit into its window with this fact, and were left out")
    return tuple(found)
