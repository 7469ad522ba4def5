"""ROME (Meng et al., 2022, "Locating and Editing Factual Associations in GPT", eq. 2): one layer, rank one a fact.

Δ = (v* - W k) uᵀ / (uᵀ k), u = C⁻¹ k: the smallest change, measured by C, with which k gives v*, the target at the
down-projection's output. Facts are written one after another.

Differs from the released code in k, which is the key that every method here takes: the code makes u of the mean key
over about twenty contexts, and divides by uᵀ times the bare prompt's key.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workers.editing.model.anatomy import Site
from workers.editing.objective import Objective
from workers.editing.presets.preset import Preset
from workers.editing.types import LayerPrior

OBJECTIVE = Objective(sites=(Site.DOWN_PROJECTION,))


def right_factor(keys: Tensor, prior: LayerPrior, preset: Preset) -> Tensor:
    """uᵀ / (uᵀ k) of each key by itself, so that the update is ``residual @ right_factor``.

    keys: (d_in, n), float64; n is 1, since each fact is solved by itself. Returns (n, d_in), float64.
    ``preset.mom2_adjustment`` false sets C = I. Previous keys are not looked at.

    Raises:
        torch.linalg.LinAlgError: C is singular.
    """
    directions = _whitened(keys, prior) if preset.mom2_adjustment else keys
    return (directions / (keys * directions).sum(dim=0)).T


def _whitened(keys: Tensor, prior: LayerPrior) -> Tensor:
    """C⁻¹ K, (d_in, n), by C's kept factor where it has one."""
    space = prior.base.weighted
    if space is not None:
        return space.back(space.into(keys))
    solved: Tensor = torch.linalg.solve(prior.second_moment, keys)
    return solved
