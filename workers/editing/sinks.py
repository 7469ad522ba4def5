"""Subjects on an attention sink: the first token of a text, where a model keeps a state that says nothing of the token.

Many models without a BOS token make whatever stands first a sink: a state of many times the usual norm, much alike for
all words. A key and a target of that state are no fact's own, and an edit there fails or hits every prompt. So a fact
whose subject stands there is written where the subject is an ordinary token: behind a context. A taught prompt whose
subject stands there is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workers.editing.keys import outputs_at
from workers.editing.lookup import Row, TokenisedFact
from workers.editing.model.editable_model import EditableModel

TIMES = 3.0
"""An output so many times as long as the same subject's behind a context is a sink's."""

WARNING = (
    "the subject is the first token of the prompt, where this model keeps a state that is alike for all words (an "
    "attention sink): the fact is written for prompts in which something stands before it, and in chat; what the bare "
    "prompt gives is told beside"
)

NOT_TAUGHT = (
    "the subject is the first token of a taught paraphrase, where this model keeps a state that is alike for all words "
    "(an attention sink): it was not taught"
)


def off_sinks(
    editable: EditableModel, facts: Sequence[TokenisedFact], layer: int, max_batch_tokens: int
) -> list[TokenisedFact]:
    """The facts, those on a sink with a context's row in the bare prompt's place; told by ``layer``'s output norms.

    Such a fact's h₀, norm bound, key, residual and essence are then those of its first context in which the subject is
    not the first token. A model that shows no sink, or a batch without contexts, is left as it is. Taught prompts on a
    sink are left out.
    """
    moved = _off_bare(editable, facts, layer, max_batch_tokens)
    return [_off_taught(editable, fact, layer, max_batch_tokens) for fact in moved]


def _off_bare(
    editable: EditableModel, facts: Sequence[TokenisedFact], layer: int, max_batch_tokens: int
) -> list[TokenisedFact]:
    ordinary = {index: row for index, fact in enumerate(facts) if (row := _ordinary(fact)) is not None}
    if not ordinary:
        return list(facts)
    behind = [_behind(facts[index], row) for index, row in ordinary.items()]
    bare_norms = outputs_at(editable, [facts[index] for index in ordinary], layer, max_batch_tokens).norm(dim=0)
    norms = outputs_at(editable, behind, layer, max_batch_tokens).norm(dim=0)
    sinks = (bare_norms > TIMES * norms).tolist()
    moved = {index: fact for index, fact, sink in zip(ordinary, behind, sinks, strict=True) if sink}
    return [moved.get(index, fact) for index, fact in enumerate(facts)]


def _off_taught(editable: EditableModel, fact: TokenisedFact, layer: int, max_batch_tokens: int) -> TokenisedFact:
    first = next((each for each in fact.taught if each.row.lookup == 0), None)  # up to there they are all the same
    if first is None or fact.prompts[0].lookup == 0:
        return fact
    norm, own = outputs_at(editable, [replace(fact, within=(first,)), fact], layer, max_batch_tokens).norm(dim=0)
    if not bool(norm > TIMES * own):
        return fact
    kept = tuple(each for each in fact.taught if each.row.lookup > 0)
    return replace(fact, taught=kept, warnings=(*fact.warnings, NOT_TAUGHT))


def _ordinary(fact: TokenisedFact) -> int | None:
    """Which of a fact's rows has the subject later than first, if its bare prompt has not; None: none, or no need."""
    if fact.prompts[0].lookup > 0:
        return None
    return next((index for index, row in enumerate(fact.prompts) if row.lookup > 0), None)


def _behind(fact: TokenisedFact, index: int) -> TokenisedFact:
    """The fact with its ``index``-th row in the bare prompt's place, which is left out."""
    order = [index, *(other for other in range(1, len(fact.prompts)) if other != index)]
    row = fact.prompts[index]
    return replace(
        fact,
        within=tuple(fact.within[place] for place in order),
        contexts=tuple(fact.contexts[place] for place in order),
        essence=Row(row.stem, row.lookup),
        warnings=(*fact.warnings, WARNING),
    )
