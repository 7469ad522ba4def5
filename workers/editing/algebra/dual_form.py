"""K_p in dual form: solves against d_in × d_in matrices by way of m × m ones.

With a base B whose F makes it the identity (``Space``), V = F K_p and U = F [K_p K], by the push-through identity

    Kᵀ (ρB + K_p K_pᵀ + K Kᵀ)⁻¹ = the last n rows of (ρI + UᵀU)⁻¹ Uᵀ, times F.

So all that earlier keys leave behind is V (r, m), the Gram matrix VᵀV, and the Cholesky factor R of ρI + VᵀV: a batch
of n keys takes O(d_in² n + d_in m n) instead of O(d_in³), and V and VᵀV serve every ρ. Woodbury's form, B⁻¹K less what
lies in B⁻¹K_p, is equal, and loses more digits where new keys resemble old ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workers.editing.algebra.growing_rows import GrowingRows
from workers.editing.algebra.space import Space

DIRECT, LARGEST = 1e2, 1e9
"""Condition of ρI + UᵀU, estimated by its pivots: up to ``DIRECT`` no refinement; above ``LARGEST`` not in dual form.

Held against extended precision, the relative error of one solve is about 1e-15 times the condition. Up to 1e9 two steps
of refinement bring it down to a dense solve's. Real keys under published settings have a condition of 10 or so.
"""
REFINEMENTS = 2


@dataclass(frozen=True, slots=True)
class Block:
    """What n keys K add to a dual form of m.

    inside: (r, n), F K. gram: (n, m + n), the last rows of UᵀU. factor: (n, m + n), those of the Cholesky factor.
    """

    inside: Tensor
    gram: Tensor
    factor: Tensor

    @property
    def count(self) -> int:
        """n."""
        return len(self.gram)

    @property
    def left(self) -> Tensor:
        """The factor's part under R, (n, m)."""
        return self.factor[:, : -self.count]

    @property
    def corner(self) -> Tensor:
        """The factor's own triangle, (n, n)."""
        return self.factor[:, -self.count :]


@dataclass(frozen=True, slots=True)
class DualForm:
    """What m earlier keys leave behind in a space. A value; all float64, on the space's device.

    rows: Vᵀ (m, r). gram: (m, m), VᵀV, its lower triangle. factor: (m, m), lower triangular R, R Rᵀ = ρI + VᵀV.
    """

    space: Space
    ridge: float
    rows: GrowingRows
    gram: Tensor
    factor: Tensor

    @classmethod
    def empty(cls, space: Space, ridge: float, keys: Tensor) -> DualForm:
        """No earlier keys; any ``keys`` (d_in, n) give d_in and the device."""
        rank = len(keys) if space.basis is None else space.basis.shape[1]
        none = torch.zeros(0, 0, dtype=torch.float64, device=keys.device)
        return cls(space, ridge, GrowingRows.empty(rank, keys.device), none, none)

    @property
    def count(self) -> int:
        """m."""
        return len(self.rows)

    @property
    def rank(self) -> int:
        """r."""
        return self.rows.rows.shape[1]

    def block(self, inside: Tensor) -> Block:
        """What keys would add that are ``inside``, F K (r, n), in the space.

        Raises:
            torch.linalg.LinAlgError: ρ is negligible beside the keys.
        """
        across, own = inside.T @ self.rows.rows.T, inside.T @ inside
        left = torch.linalg.solve_triangular(self.factor, across.T, upper=False).T
        corner = torch.linalg.cholesky(_ridged(own - left @ left.T, self.ridge))
        return Block(inside, torch.cat([across, own], dim=1), torch.cat([left, corner], dim=1))

    def append(self, block: Block) -> DualForm:
        """The form of the earlier keys and the block's."""
        rows = self.rows.append(block.inside.T)
        return replace(self, rows=rows, gram=_under(self.gram, block.gram), factor=_under(self.factor, block.factor))

    def keep(self, chosen: Tensor) -> DualForm:
        """The form of those keys alone at which ``chosen`` (m,), bool, is true: O(m³)."""
        kept = replace(self, rows=self.rows.keep(chosen), gram=self.gram[chosen][:, chosen])
        return kept.with_ridge(self.ridge)

    def with_ridge(self, ridge: float) -> DualForm:
        """The same under another ρ: O(m³)."""
        return replace(self, ridge=ridge, factor=torch.linalg.cholesky(_ridged(self.gram, ridge)))

    def right_factor(self, block: Block) -> Tensor | None:
        """Kᵀ (ρB + K_p K_pᵀ + K Kᵀ)⁻¹, (n, d_in); None where a dense solve is more exact than this can be.

        That is at a condition above ``LARGEST``, and where there are at least as many keys as directions: there the
        dense solve costs no more either.
        """
        condition = self._condition(block)
        if self.count + block.count >= self.rank or not condition <= LARGEST:
            return None
        ones = torch.eye(block.count, dtype=torch.float64, device=block.inside.device)
        earlier, own = self._small_solve(block, ones.new_zeros(self.count, block.count), ones)
        solved = torch.addmm(block.inside @ own, self.rows.rows.T, earlier)
        for _ in range(REFINEMENTS if condition > DIRECT else 0):
            solved = self._refined(block, solved)
        return self.space.back(solved).T

    def _condition(self, block: Block) -> float:
        """A lower bound, and about the size, of the condition of ρI + UᵀU."""
        pivots = torch.cat([self.factor.diagonal(), block.corner.diagonal()])
        return float((pivots.max() / pivots.min()) ** 2)

    def _small_solve(self, block: Block, upper: Tensor, lower: Tensor) -> tuple[Tensor, Tensor]:
        """(ρI + UᵀU)⁻¹ times the columns [upper (m, k); lower (n, k)], in the same two parts."""
        first = torch.linalg.solve_triangular(self.factor, upper, upper=False)
        second = torch.cholesky_solve(lower - block.left @ first, block.corner)
        return torch.linalg.solve_triangular(self.factor.T, first - block.left.T @ second, upper=True), second

    def _refined(self, block: Block, solved: Tensor) -> Tensor:
        """One step of iterative refinement of (ρI + U Uᵀ) X = F K, for X ``solved`` (r, n)."""
        earlier, inside = self.rows.rows.T, block.inside
        residual = inside - self.ridge * solved - earlier @ (earlier.T @ solved) - inside @ (inside.T @ solved)
        first, second = self._small_solve(block, earlier.T @ residual, inside.T @ residual)
        return solved + (residual - earlier @ first - inside @ second) / self.ridge


def _ridged(gram: Tensor, ridge: float) -> Tensor:
    """ρI + G."""
    ridged = gram.clone()
    ridged.diagonal().add_(ridge)
    return ridged


def _under(square: Tensor, rows: Tensor) -> Tensor:
    """A lower triangle (m, m) and its next rows (n, m + n) as one (m + n, m + n)."""
    count = len(square)
    joined = rows.new_zeros(count + len(rows), count + len(rows))
    joined[:count, :count], joined[count:] = square, rows
    return joined
