"""The cached previous keys K_p of one layer, and what solves against them keep."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

from workers.editing.algebra.dual_form import DualForm
from workers.editing.algebra.growing_rows import GrowingRows
from workers.editing.algebra.space import Space

FOLD_SHARE = 0.5
"""Keys are folded into the base once there are more of them than this share of the space's directions.

A batch of n keys costs 3 d_in² n + 6 d_in m n + 2 m² n, and folding d_in³ / 3 and 2 d_in² for every key so far. Over a
sequence that is least where m reaches a third of d_in, and later the longer the sequence.
"""
SPACES = 3
"""So many spaces are kept: MEMIT's, AlphaEdit's, and one for a request with a threshold of its own."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept in one space. The first ``folded`` columns are in ``form``'s base, which then is for one ridge."""

    form: DualForm
    ridge: float
    folded: int

    @property
    def count(self) -> int:
        """So many columns are accounted for."""
        return self.folded + self.form.count

    def append(self, inside: Tensor) -> _Kept:
        """The same with further columns, as they are (r, n) in the form's space."""
        return replace(self, form=self.form.append(self.form.block(inside))) if inside.shape[1] else self


class PreviousKeys:
    """K_p of one layer. A value: ``append`` and ``without`` return another one, and the old one stays valid.

    What solves reuse is computed at the first solve that needs it, not when keys are appended, and is passed on to the
    values made from this one. Not thread-safe.
    """

    __slots__ = ("_kept", "_rows")

    def __init__(self, rows: GrowingRows, kept: Mapping[Space, _Kept] = MappingProxyType({})) -> None:
        self._rows, self._kept = rows, dict(kept)

    @classmethod
    def empty(cls, width: int, device: torch.device | str = "cpu") -> PreviousKeys:
        """K_p of a model that was never edited, for keys of that width."""
        return cls(GrowingRows.empty(width, device))

    @property
    def keys(self) -> Tensor:
        """(d_in, m), float64: a view."""
        return self._rows.rows.T

    @property
    def count(self) -> int:
        """m."""
        return len(self._rows)

    def append(self, keys: Tensor) -> PreviousKeys:
        """The same with keys (d_in, n), of any dtype, at the end."""
        return PreviousKeys(self._rows.append(keys.T), self._kept)

    def without(self, columns: Collection[int]) -> PreviousKeys:
        """The same without the columns at these positions; the others close up.

        Columns that were folded into the base cannot be taken out of it: the next solve folds anew, O(d_in³).
        """
        assert all(0 <= column < self.count for column in columns)
        chosen = torch.ones(self.count, dtype=torch.bool, device=self.keys.device)
        chosen[list(columns)] = False
        kept = {}
        for space, known in self._kept.items():
            if all(column >= known.folded for column in columns):
                with suppress(torch.linalg.LinAlgError):  # type: ignore[attr-defined]
                    kept[space] = replace(known, form=known.form.keep(chosen[known.folded : known.count]))
        return PreviousKeys(self._rows.keep(chosen), kept)

    def right_factor(self, keys: Tensor, space: Space, ridge: float) -> Tensor | None:
        """Kᵀ (ρB + K_p K_pᵀ + K Kᵀ)⁻¹ for keys K (d_in, n), in the space whose base is B: (n, d_in), float64.

        None where a dense solve is more exact (``DualForm.right_factor``), or a matrix is not positive definite.
        """
        try:
            known = self._for_ridge(space, ridge)
            missing = self.keys[:, known.count :]
            inside = known.form.space.into(torch.cat([missing, keys], dim=1))  # one pass over what is large
            known = known.append(inside[:, : missing.shape[1]])
            self._keep(space, known)
            return known.form.right_factor(known.form.block(inside[:, missing.shape[1] :]))
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            return None

    def _for_ridge(self, space: Space, ridge: float) -> _Kept:
        """What is kept in the space, for this ridge, with columns folded if they are due."""
        known = self._kept.get(space)
        if known is None or (known.folded and known.ridge != ridge):
            known = _Kept(DualForm.empty(space, ridge, self.keys), ridge, 0)
        elif known.ridge != ridge:
            known = _Kept(known.form.with_ridge(ridge), ridge, 0)
        if self.count - known.folded > FOLD_SHARE * known.form.rank:
            folded = space.folded(ridge, self.keys)
            known = _Kept(DualForm.empty(folded, 1.0, self.keys), ridge, self.count)
        return known

    def _keep(self, space: Space, known: _Kept) -> None:
        self._kept.pop(space, None)
        if len(self._kept) == SPACES:
            del self._kept[next(iter(self._kept))]  # the one that was asked for longest ago
        self._kept[space] = known
