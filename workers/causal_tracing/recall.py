"""Facts that a model knows, and where their tokens stand in their prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import nn

from app.domain.prompts import SLOT
from workers.editing.model.editable_model import EditableModel
from workers.editing.text.joint import joint
from workers.editing.text.model_text import ModelText
from workers.editing.types import Fact


class Role(StrEnum):
    """Where a token stands in its prompt, as the paper averages over prompts."""

    FIRST_SUBJECT = "first subject token"
    MIDDLE_SUBJECT = "middle subject tokens"
    LAST_SUBJECT = "last subject token"
    FIRST_AFTER = "first token after it"
    FURTHER = "further tokens"
    LAST = "last token"


@dataclass(frozen=True, slots=True)
class Recalled:
    """A fact that the model knows: token ids of its prompt, the span [begin, end) of the subject in it, and the id that
    the model finds likeliest next, which begins the right answer."""

    ids: tuple[int, ...]
    begin: int
    end: int
    answer: int

    def roles(self) -> list[Role | None]:
        """Of each token; None before the subject."""
        last = len(self.ids) - 1
        return [self._role(at, last) for at in range(len(self.ids))]

    def _role(self, at: int, last: int) -> Role | None:
        if at < self.begin:
            return None
        if at == self.end - 1:
            return Role.LAST_SUBJECT
        if at < self.end:
            return Role.FIRST_SUBJECT if at == self.begin else Role.MIDDLE_SUBJECT
        if at == last:
            return Role.LAST
        return Role.FIRST_AFTER if at == self.end else Role.FURTHER


def recalled(editable: EditableModel, facts: Iterable[Fact]) -> Iterator[Recalled]:
    """Those facts whose object the model gives: its first token is the likeliest after the prompt. One pass each, when
    it is asked for."""
    words = ModelText.of(editable.tokenizer)
    for fact in facts:
        found = _tokenised(words, fact)
        if found is not None and _gives(editable, found):
            yield found


def subject_deviation(editable: EditableModel, facts: Sequence[Recalled]) -> float:
    """Standard deviation of all numbers in the embeddings of the facts' subject tokens, as ROME's code takes it."""
    ids = [token for fact in facts for token in fact.ids[fact.begin : fact.end]]
    embeddings: nn.Module = editable.model.get_input_embeddings()
    with torch.inference_mode():
        return float(embeddings(torch.tensor(ids, device=editable.device)).double().std())


def _tokenised(words: ModelText, fact: Fact) -> Recalled | None:
    """None where the subject leaves no token of its own, or the answer none."""
    start = fact.prompt.index(SLOT)
    end = start + len(fact.subject)
    found = words.within("", fact.text, "")
    inside = [at for at, (a, b) in enumerate(found.offsets) if a < end and b > start and a < b]
    answer = joint(words, fact.text, fact.object, "previous").object
    return Recalled(tuple(found.ids), inside[0], inside[-1] + 1, answer[0]) if inside and answer else None


@torch.inference_mode()
def _gives(editable: EditableModel, fact: Recalled) -> bool:
    """Whether the answer is the likeliest next token; not where the prompt is longer than the model's window."""
    if len(fact.ids) > editable.window:
        return False
    given = torch.tensor([fact.ids], device=editable.device)
    return int(editable.model(input_ids=given, use_cache=False, logits_to_keep=1).logits[0, -1].argmax()) == fact.answer
