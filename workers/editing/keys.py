"""Keys K of a batch at a layer, and the outputs H of a site in it for the bare prompts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from workers.editing.lookup import Row, TokenisedFact
from workers.editing.model.anatomy import Site
from workers.editing.model.cut_pass import Reached, Watch, run_until_reached, watch_input, watch_output
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.micro_batches import by_equal_length

FACTS_AT_ONCE = 128
"""Of so many facts the keys in all contexts are held at a time: they are wide, and only their means are kept."""


@torch.no_grad()
def keys_at(editable: EditableModel, facts: Sequence[TokenisedFact], layer: int, max_batch_tokens: int) -> Tensor:
    """Keys (d_in, n), float64: inputs of the down-projection at the lookup token.

    Key of a fact = half its key in the bare prompt + half the mean of its keys in the other contexts
    (MEMIT's released code averages within, then over, the two kinds of context). A taught prompt is one more context.
    """
    starts = range(0, len(facts), FACTS_AT_ONCE)
    parts = [_keys(editable, facts[start : start + FACTS_AT_ONCE], layer, max_batch_tokens) for start in starts]
    return torch.cat(parts).T.contiguous()


def _keys(editable: EditableModel, facts: Sequence[TokenisedFact], layer: int, max_batch_tokens: int) -> Tensor:
    """Keys of some facts, (n, d_in)."""
    rows = [row for fact in facts for row in fact.rows]
    seen = _at_lookup(editable, rows, editable.projection(layer), watch_input, max_batch_tokens).double()
    counts = torch.tensor([len(fact.rows) for fact in facts])
    starts = counts.cumsum(0) - counts
    found = seen.new_empty(len(facts), seen.shape[-1])
    for count in sorted(set(counts.tolist())):  # a fact may have fewer contexts: see ``tokenise``
        members = (counts == count).nonzero().squeeze(1)
        by_context = seen[starts[members].unsqueeze(1) + torch.arange(count)]  # (members, contexts, d_in)
        bare, others = by_context[:, 0], by_context[:, 1:]
        found[members] = bare if count == 1 else (bare + others.mean(dim=1)) / 2
    return found


@torch.no_grad()
def outputs_at(
    editable: EditableModel,
    facts: Sequence[TokenisedFact],
    layer: int,
    max_batch_tokens: int,
    site: Site = Site.BLOCK,
) -> Tensor:
    """Current outputs H (d_out, n), float64: what the site gives at the lookup token of the bare prompt."""
    rows = [fact.prompts[0] for fact in facts]
    seen = _at_lookup(editable, rows, editable.site(layer, site), watch_output, max_batch_tokens)
    return seen.double().T.contiguous()


def _at_lookup(
    editable: EditableModel, rows: Sequence[Row], module: nn.Module, watch: Watch, max_batch_tokens: int
) -> Tensor:
    """What the module takes or gives at each row's lookup token, (rows, width). Nothing after it matters."""
    found: dict[int, Tensor] = {}
    for members in by_equal_length([row.lookup + 1 for row in rows], max_batch_tokens):
        ids = torch.tensor([rows[i].stem for i in members], device=editable.device)

        def see(states: Tensor, members: Sequence[int] = members) -> None:
            by_row = states.reshape(len(members), -1, states.shape[-1])  # some families flatten rows and tokens
            found.update(zip(members, by_row[:, -1].clone(), strict=True))  # a view would keep all tokens' states
            raise Reached

        run_until_reached(editable.model, ids, [watch(module, see)])
    return torch.stack([found[i] for i in range(len(rows))])
