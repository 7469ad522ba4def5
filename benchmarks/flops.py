"""The matrix products that a gradient step must do, counted from lengths and shapes and never measured.

A step of a fact at a layer needs, for each of its rows: the lookup token and those after it, through every matrix of
the blocks above that layer; attention of these tokens over themselves and over what stands before them; logits where
the loss reads them. Backward, the same products once more for the activations' gradients (weights have none), and in
attention those for queries, keys and values, keys and values of the suffix alone. Each block above is counted whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.step_clock import Pass
from workers.editing.lookup import TokenisedFact
from workers.editing.model.editable_model import EditableModel


@dataclass(frozen=True, slots=True)
class StepCost:
    """FLOPs of one fact's pass, its forward and its backward half; a product of (a, b) and (b, c) takes 2abc."""

    forward: float
    backward: float


def mean_step_cost(editable: EditableModel, facts: Sequence[TokenisedFact], layer: int) -> StepCost:
    """What a pass costs a fact of this batch on average, its target being at ``layer``."""
    costs = [_row_cost(editable, layer, *row) for fact in facts for row in _rows(fact)]
    forward, backward = (sum(half) / len(facts) for half in zip(*costs, strict=True))
    return StepCost(forward, backward)


def necessary_flops(costs: dict[int, StepCost], passes: Iterable[Pass]) -> float:
    """All timed passes together: forward for the facts that took part, backward for those that went on."""
    return sum(
        costs[one.layer].forward * one.before + costs[one.layer].backward * one.after
        for one in passes
        if one.seconds is not None
    )


def _rows(fact: TokenisedFact) -> list[tuple[int, int, int]]:
    """Of each row of the loss: tokens before the lookup token, tokens from it on, and tokens predicted."""
    more = len(fact.object) - 1
    prompts = [(row.lookup, len(row.ids) + more - row.lookup, len(fact.object)) for row in fact.prompts]
    return [*prompts, (fact.essence.lookup, 1, 1)]


def _row_cost(editable: EditableModel, layer: int, prefix: int, suffix: int, predicted: int) -> tuple[float, float]:
    blocks = editable.anatomy.blocks[layer + 1 :]
    weights = sum(p.numel() for block in blocks for p in block.parameters() if p.dim() == 2)
    linear = 2 * weights * suffix + 2 * _head_size(editable) * predicted
    among = suffix * (suffix + 1) / 2
    product = 2 * _attention_width(editable) * len(blocks)  # of one query with one key, all heads and blocks
    pairs = prefix * suffix + among
    return linear + 2 * product * pairs, linear + 2 * product * (pairs + among)


def _head_size(editable: EditableModel) -> int:
    return sum(p.numel() for p in editable.model.get_output_embeddings().parameters() if p.dim() == 2)  # type: ignore[no-untyped-call]


def _attention_width(editable: EditableModel) -> int:
    """Width of all query heads together."""
    config = editable.model.config.get_text_config()
    heads = int(config.num_attention_heads)
    return heads * int(getattr(config, "head_dim", None) or config.hidden_size // heads)
