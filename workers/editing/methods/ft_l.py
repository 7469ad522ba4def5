"""FT-L (Zhu et al., 2020, "Modifying Memories in Transformer Models"): fine-tuning of one layer within a bound.

minimise the mean NLL of the objects, after their bare and their taught prompts, over Δ, subject to
|Δ_ij| ≤ ``norm_constraint`` for every entry.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from workers.editing.presets.preset import Preset

CONVERGED = 1e-2
"""A batch whose mean loss falls below this is done (the baseline of ROME's and MEMIT's released code)."""

TuningLoss = Callable[[Tensor], float]
"""Takes Δ (d_out, d_in), leaves the gradient of the batch's mean loss in ``grad``, and returns that loss."""


def tune(loss: TuningLoss, weight: Tensor, preset: Preset) -> Tensor:
    """Δ (d_out, d_in) in the dtype of ``weight``, by Adam, cut back into the bound after every step.

    Differs from the baseline of ROME's and MEMIT's code: every token of the object is predicted from those before it,
    not all of them from the prompt's last token; the batch steps as one; and the layer's bias stays.
    """
    change = torch.zeros_like(weight, requires_grad=True)
    optimizer = torch.optim.Adam([change], lr=preset.lr)
    for _ in range(preset.num_steps):
        optimizer.zero_grad()
        if loss(change) < CONVERGED:
            break
        optimizer.step()
        with torch.no_grad():
            change.clamp_(-preset.norm_constraint, preset.norm_constraint)
    return change.detach()
