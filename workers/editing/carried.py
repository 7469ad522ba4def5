"""Where targets at one layer lead: what a later layer gives once they stand at the earlier one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workers.editing.keys import outputs_at
from workers.editing.lookup import TokenisedFact
from workers.editing.model.anatomy import Site
from workers.editing.model.editable_model import EditableModel, first
from workers.editing.model.micro_batches import by_equal_length


@torch.no_grad()
def carried_targets(
    editable: EditableModel,
    facts: Sequence[TokenisedFact],
    layer: int,
    targets: Tensor,
    later: int,
    max_batch_tokens: int,
    site: Site = Site.BLOCK,
) -> Tensor:
    """What the site at layer ``later`` gives at the lookup token of the bare prompt, (d_out, n), float64.

    targets: (d_out, n), which stand in place of what the same site gives at ``layer``. One forward pass.
    """
    found = torch.empty_like(targets, dtype=torch.float64, device=editable.device_at(later))
    module = editable.site(layer, site)
    for members in by_equal_length([fact.prompts[0].lookup + 1 for fact in facts], max_batch_tokens):
        placed = targets[:, members].T

        def place(_module: nn.Module, _args: Any, output: Any, placed: Tensor = placed) -> Any:
            states = first(output)
            moved = states.reshape(len(placed), -1, states.shape[-1]).clone()  # some families flatten rows and tokens
            moved[:, -1] = placed.to(moved)
            moved = moved.view_as(states)
            return moved if isinstance(output, Tensor) else (moved, *output[1:])

        handle = module.register_forward_hook(place)
        try:
            found[:, members] = outputs_at(editable, [facts[i] for i in members], later, max_batch_tokens, site)
        finally:
            handle.remove()
    return found
