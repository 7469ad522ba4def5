"""What a layer's second moment gives to all its solves."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from workers.editing.algebra.space import Space


class LayerBase:
    """What stays as it was on the base model at one layer: C, and what solves take from it.

    Each part is made when it is first asked for, and kept: one base a layer and model serves all versions, methods and
    hyperparameters.
    """

    def __init__(self, load: Callable[[], Tensor]) -> None:
        """``load`` gives C (d_in, d_in) on the solver's device; it is asked again and again, so that none is kept."""
        self._load = load
        self._null_spaces: dict[int, Space] = {}
        self._loaded: tuple[float, Space | None] | None = None

    @classmethod
    def of(cls, second_moment: Tensor) -> LayerBase:
        """The base of a second moment that is at hand."""
        return cls(lambda: second_moment)

    def second_moment(self) -> Tensor:
        """C = E[k kᵀ], (d_in, d_in), float64."""
        return self._load().double()

    @cached_property
    def weighted(self) -> Space | None:
        """All directions, weighed by C = L Lᵀ; None where C is singular, as one of too few tokens is. O(d_in³)."""
        return self._space(0.0)

    def loaded(self, load: float) -> Space | None:
        """All directions, weighed by C + load · I; ``weighted`` where the load is 0. The last one asked for is kept."""
        if load == 0:
            return self.weighted
        if self._loaded is None or self._loaded[0] != load:
            self._loaded = load, self._space(load)
        return self._loaded[1]

    def _space(self, load: float) -> Space | None:
        def weights() -> Tensor:
            moment = self.second_moment()
            return moment if load == 0 else moment + load * torch.eye(len(moment)).to(moment)

        factor, info = torch.linalg.cholesky_ex(weights())
        return Space(None, factor, weights) if int(info) == 0 else None

    def null_space(self, threshold: float) -> Space:
        """C's directions of eigenvalue below ``threshold``, all weighed alike: P = Q Qᵀ, S = I. O(d_in³) once.

        An absolute threshold can keep nearly all directions: look at r / d_in.

        Raises:
            torch.linalg.LinAlgError: C has no eigenvalues, since it holds NaN.
        """
        values, vectors = self._eigen
        rank = int((values < threshold).sum())  # eigenvalues rise
        if rank not in self._null_spaces:
            basis = vectors[:, :rank]
            self._null_spaces[rank] = Space(basis, None, lambda: torch.eye(rank, dtype=basis.dtype).to(basis.device))
        return self._null_spaces[rank]

    def frees(self, threshold: float) -> bool:
        """Whether any direction of C is free at a threshold. O(d_in³) only where no element of its diagonal tells."""
        if bool((self._load().diagonal() < threshold).any()):
            return True  # the least eigenvalue is no greater than any of them
        basis = self.null_space(threshold).basis
        return basis is not None and basis.shape[1] > 0

    @cached_property
    def _eigen(self) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(self.second_moment())
        return values, vectors
