"""Where the subject and the object stand in RippleEdits' sentences, which have neither marked."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from app.domain.imports.records import Unusable
from app.domain.prompts import SLOT

ENDS = re.compile(r" (?:is followed by|follows|is|are) ")
"""The object follows one of these."""

FORMS = (
    r"(.* which )(.+?)( (?:is|plays) [a-z ]*(?:with|of|in) is)",
    r"(The number of children )(.+)( has is)",
    r"(The name of the award )(.+)( won is)",
    r"(The name of the (?:position held by|currency in|anthem that is most likely to be performed in) )(.+)( is)",
    r"()(.+)( follows| is followed by)",
)
"""Sentences whose relation does not stand in them as "<relation> of"."""

OF = r"(The (?:names? of the |(?!names? of ))(?:[a-z]+ )+?(?:of [a-z]+ ){%d}of )(.+)( is| are)"
"""All others, for relations with so many "of" in their own names ("place of birth")."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A fact: ``before``, the subject, ``after``, a space, the object."""

    before: str
    subject: str
    after: str
    object: str

    @property
    def template(self) -> str:
        """The prompt with the subject's slot."""
        return f"{self.before}{SLOT}{self.after}"

    def object_of(self, other: str | None) -> str | None:
        """The object of another sentence about the same subject and relation; None if it is no such sentence."""
        begin = f"{self.before}{self.subject}{self.after} "
        return _bare(other).removeprefix(begin) if other is not None and _bare(other).startswith(begin) else None


def told(
    sentence: str, relation: str, previous: str | None, objects: Collection[str], about: Collection[str]
) -> Sentence:
    """The parts of a sentence, as far as they are certain: nothing is guessed.

    Args:
        relation: its name in the data set, as ``PLACE_OF_BIRTH``.
        previous: the sentence that it takes the place of. objects: what other questions call the object, if any does.
        about: other prompts with the subject in them.

    Raises:
        Unusable: the subject is not to be found, or may be one of several.
    """
    found = [
        each
        for each in _readings(_bare(sentence), relation)
        if (previous is None or each.object_of(previous))
        and (not objects or each.object in objects)
        and all(each.subject in prompt for prompt in about)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        detail = f"the sentence may have {len(found)} subjects"
        raise Unusable("ambiguous_subject", detail, "edit.prompt", sentence)
    raise Unusable("subject_not_told", "the sentence does not tell its subject and its object", "edit.prompt", sentence)


def _readings(sentence: str, relation: str) -> Iterator[Sentence]:
    """One for each place where the object may begin."""
    for end in ENDS.finditer(sentence):
        prompt, new = sentence[: end.end() - 1], sentence[end.end() :]
        for form in (*FORMS, OF % relation.count("_OF_")):
            if new and (parts := re.fullmatch(form, prompt)):
                yield Sentence(parts[1], parts[2], parts[3], new)
                break


def _bare(sentence: str) -> str:
    """Without the full stop at its end."""
    return sentence.strip().removesuffix(".")
