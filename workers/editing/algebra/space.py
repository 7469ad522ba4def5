"""Coordinates in which a solve's base is the identity: C for MEMIT, the free directions alone for AlphaEdit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """The directions that an update may take, and what weighs them: B = Q S Qᵀ, S = L Lᵀ, and F = L⁻¹ Qᵀ.

    A pseudo-inverse of ρB + M, for any M whose directions are Q's, is Fᵀ (ρI + F M Fᵀ)⁻¹ F: nothing else is asked of
    a base. Float64. Compared by identity.

    basis: (d_in, r), orthonormal Q; None for all directions (Q = I, r = d_in).
    factor: (r, r), lower triangular L; None for I.
    weights: makes (r, r), S. It is needed seldom and as large as L.
    """

    basis: Tensor | None
    factor: Tensor | None
    weights: Callable[[], Tensor]

    def into(self, keys: Tensor) -> Tensor:
        """F K, (r, n), of keys (d_in, n)."""
        inside = keys if self.basis is None else self.basis.T @ keys
        return inside if self.factor is None else torch.linalg.solve_triangular(self.factor, inside, upper=False)

    def back(self, inside: Tensor) -> Tensor:
        """Fᵀ times columns (r, n): (d_in, n)."""
        if self.factor is not None:
            inside = torch.linalg.solve_triangular(self.factor.T, inside, upper=True)
        return inside if self.basis is None else self.basis @ inside

    def folded(self, ridge: float, keys: Tensor) -> Space:
        """The space whose base is ρB + K Kᵀ, for keys K (d_in, m) however many: O(r²m + r³).

        Raises:
            torch.linalg.LinAlgError: that is not positive definite.
        """
        inside = keys if self.basis is None else self.basis.T @ keys
        factor = torch.linalg.cholesky(self.weights().mul(ridge).addmm_(inside, inside.T))
        return Space(self.basis, factor, lambda: factor @ factor.T)
