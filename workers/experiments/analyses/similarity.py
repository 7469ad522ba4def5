"""How the last layer's residual differs from a layer's own, in direction (§4.1.2, fig. 3) and at all (§4.2, fig. 5)."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean

import torch
from torch import Tensor

from workers.experiments.analyses.residuals import Residuals
from workers.experiments.answers import Kept


class Similarity(Kept):
    """By layer.

    cosines: of each fact, between R_L, whose direction all its spread parts have, and R*_l; facts of which either is
        zero, because the model gave the object before, have none.
    distances: of each fact, ‖R*_l - R_L‖. spectral: ‖R*_l - R_L‖₂ of the matrices, as in Theorem 4.1.
    norms: of each fact, ‖R*_l‖.
    """

    cosines: Mapping[int, tuple[float, ...]]
    distances: Mapping[int, tuple[float, ...]]
    spectral: Mapping[int, float]
    norms: Mapping[int, tuple[float, ...]]

    @property
    def mean_cosines(self) -> dict[int, float]:
        """Over facts; layers where no fact has one are left out."""
        return {layer: mean(cosines) for layer, cosines in self.cosines.items() if cosines}

    @property
    def mean_distances(self) -> dict[int, float]:
        """Over facts."""
        return {layer: mean(distances) for layer, distances in self.distances.items()}


def similarity(residuals: Residuals) -> Similarity:
    """Of all critical layers."""
    last, computed = residuals.last, residuals.computed
    return Similarity(
        cosines={layer: cosines(found, last) for layer, found in computed.items()},
        distances={layer: _norms(found - last) for layer, found in computed.items()},
        spectral={layer: float(torch.linalg.matrix_norm(found - last, 2)) for layer, found in computed.items()},
        norms={layer: _norms(found) for layer, found in computed.items()},
    )


def cosines(one: Tensor, two: Tensor) -> tuple[float, ...]:
    """Of each pair of columns (d, n), neither of which is zero."""
    there = (one.norm(dim=0) > 0) & (two.norm(dim=0) > 0)
    found: list[float] = torch.cosine_similarity(one[:, there], two[:, there], dim=0).tolist()
    return tuple(found)


def _norms(columns: Tensor) -> tuple[float, ...]:
    found: list[float] = columns.norm(dim=0).tolist()
    return tuple(found)
