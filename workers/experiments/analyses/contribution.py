"""What a layer's residual alone does for an edit: contribution scores of simulated edits (§4.1.1, fig. 2)."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean

import torch
from torch import Tensor

from workers.editing.lookup import TokenisedFact
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.replacing import replacing
from workers.experiments.analyses.residuals import Kind, Residuals
from workers.experiments.analyses.workbench import Workbench
from workers.experiments.answers import Kept
from workers.questions.scoring import scored_rows


class Contributions(Kept):
    """before: the new object's probability in the unedited model, of each fact.

    scores: by kind of residual and layer, of each fact, s = P_θ*(o*|p) - P_θ(o*|p) (eq. 9), where θ* is θ with the
        residual added to the layer's output at the lookup token. P is of all the object's tokens.
    """

    before: tuple[float, ...]
    scores: Mapping[Kind, Mapping[int, tuple[float, ...]]]

    def means(self, kind: Kind) -> dict[int, float]:
        """By layer, over facts."""
        return {layer: mean(scores) for layer, scores in self.scores[kind].items()}


def contributions(bench: Workbench, residuals: Residuals) -> Contributions:
    """Simulated edits of each critical layer alone, with each kind of residual."""
    model, facts = bench.live, bench.chosen.tokenised
    before = tuple(probability(model, fact) for fact in facts)
    scores: dict[Kind, dict[int, tuple[float, ...]]] = {}
    for kind in Kind:
        scores[kind] = {}
        for layer in bench.layers:
            moved = zip(facts, residuals.at(layer, kind).T, strict=True)
            after = [simulated(model, fact, layer, residual) for fact, residual in moved]
            scores[kind][layer] = tuple(now - then for now, then in zip(after, before, strict=True))
    return Contributions(before=before, scores=scores)


def simulated(editable: EditableModel, fact: TokenisedFact, layer: int, residual: Tensor) -> float:
    """P(o*|p) of one fact with a residual (d_out,) added to a layer's output at the lookup token.

    The paper puts a new memory in the place of the MLP's output. The layer's output is the sum of that and of what goes
    past it, so this is the same; and it is where the descent adds what it finds.
    """
    place = fact.prompts[0].lookup

    def add(states: Tensor) -> Tensor:
        moved = states.reshape(1, -1, states.shape[-1]).clone()  # some families flatten rows and tokens
        moved[0, place] += residual.to(moved)
        return moved.view_as(states)

    with torch.inference_mode(), replacing(editable.block(layer), add):
        return probability(editable, fact)


def probability(editable: EditableModel, fact: TokenisedFact) -> float:
    """P(o*|p) of one fact: of all its object's tokens after its prompt."""
    [found] = scored_rows(editable.model, [(list(fact.prompts[0].ids), list(fact.object))])
    return found.standing.probability
