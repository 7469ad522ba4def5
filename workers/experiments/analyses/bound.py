"""The error of a weight shift whose residual is distributed, beside the bound of Theorem 4.1 (§4.2, eqs. 10 and 11).

‖Δ* - Δ‖₂ ≤ (‖R*_l - R_L‖₂ + (L - l) ‖R_l‖₂) ‖Q‖₂, where Δ* = R*_l Q, Δ = R_l Q, R_l = R_L / (L - l + 1) and
Q = K₁ᵀ(λC + K_pK_pᵀ + K₁K₁ᵀ)⁻¹. Norms are spectral. L - l counts critical layers. (The appendix ends with ‖R_L‖ in the
place of ‖R_l‖: a wider bound.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from workers.experiments.analyses.residuals import Kind, Residuals
from workers.experiments.analyses.workbench import Workbench
from workers.experiments.answers import Kept

SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
"""Facts in a batch."""

PLACES = 5
"""So many batches follow each other, as far as there are facts for them."""


class Point(Kept):
    """One weight shift. distance: L - l. facts: in its batch. previous: facts whose keys are in K_p.

    error, bound: of this shift. total: ‖Σ(Δ* - Δ)‖₂ over it and all batches before it. factor: ‖Q‖₂.
    """

    layer: int
    distance: int
    facts: int
    previous: int
    error: float
    bound: float
    total: float
    factor: float


class Bound(Kept):
    """by_size: every layer and size of the first batch. by_place: every layer, in a sequence of batches of one size.

    Keys and residuals are the unedited model's, so that along the sequence K_p alone changes what is solved.
    """

    by_size: tuple[Point, ...]
    by_place: tuple[Point, ...]


class _Compared(NamedTuple):
    """At one layer R*_l, R_L and R_l, each (d_out, n)."""

    layer: int
    distance: int
    computed: Tensor
    last: Tensor
    spread: Tensor

    def of(self, part: slice) -> _Compared:
        """Of some facts."""
        return self._replace(computed=self.computed[:, part], last=self.last[:, part], spread=self.spread[:, part])


def bound(bench: Workbench, residuals: Residuals) -> Bound:
    """Both grids; no weight is changed.

    Raises:
        JobFailed: a solve has no answer.
    """
    count = len(bench.chosen.facts)
    sizes = sorted({size for size in SIZES if size < count} | {count})
    size = max(1, count // PLACES)
    by_size: list[Point] = []
    by_place: list[Point] = []
    for distance, layer in enumerate(reversed(bench.layers)):
        found = _Compared(layer, distance, residuals.computed[layer], residuals.last, residuals.at(layer, Kind.EVEN))
        keys = bench.keys(bench.live, layer, slice(None))
        by_size += [_point(found.of(slice(facts)), [bench.right_factor(layer, keys[:, :facts])]) for facts in sizes]
        rights: list[Tensor] = []
        for start in range(0, min(count, size * PLACES) - size + 1, size):
            stop = start + size
            rights.append(bench.right_factor(layer, keys[:, start:stop], keys[:, :start]))
            by_place.append(_point(found.of(slice(stop)), rights))
    return Bound(by_size=tuple(by_size), by_place=tuple(by_place))


def _point(found: _Compared, rights: Sequence[Tensor]) -> Point:
    """The last one of some batches. found: of the facts of all of them; rights: Q of each."""
    right, wrong = rights[-1], found.computed - found.spread
    previous = wrong.shape[1] - len(right)
    own = found.of(slice(previous, None))
    factor = float(torch.linalg.matrix_norm(right, 2))
    return Point(
        layer=found.layer,
        distance=found.distance,
        facts=len(right),
        previous=previous,
        error=product_norm(wrong[:, previous:], right),
        bound=bound_of(own.computed, own.last, own.spread, found.distance, factor),
        total=product_norm(wrong, torch.cat(list(rights))),
        factor=factor,
    )


def bound_of(computed: Tensor, last: Tensor, spread: Tensor, distance: int, factor: float) -> float:
    """(‖R*_l - R_L‖ + (L - l) ‖R_l‖) ‖Q‖; R*_l, R_L and R_l are (d_out, n), ``factor`` is ‖Q‖."""
    norm = torch.linalg.matrix_norm
    return float(norm(computed - last, 2) + distance * norm(spread, 2)) * factor


def product_norm(left: Tensor, right: Tensor) -> float:
    """‖left @ right‖₂ of (d_out, n) and (n, d_in), without the product: right = Tᵀ Oᵀ, O with orthonormal columns."""
    triangle = torch.linalg.qr(right.T, mode="r").R
    return float(torch.linalg.matrix_norm(left.to(right.device) @ triangle.T, 2))
