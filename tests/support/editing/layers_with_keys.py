"""A layer whose previous keys come and go, and what its solves give in extended precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from workers.editing.algebra.layer_base import LayerBase
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.methods import alphaedit, memit
from workers.editing.presets.preset import Preset
from workers.editing.types import LayerPrior

BOUND, CONDITION = 1e-9, 1e8
FREE = 1e-2
"""Threshold of the null space: C's largest eigenvalue is 1."""

METHODS = {"memit": memit, "alphaedit": alphaedit}


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def second_moment(generator: torch.Generator, width: int, condition: float) -> Tensor:
    """C with eigenvalues evenly spaced, on a log scale, from 1 / condition to 1."""
    rotation = torch.linalg.qr(normal(generator, width, width)).Q
    values = torch.logspace(-np.log10(condition), 0, width, dtype=torch.float64)
    moment: Tensor = (rotation * values) @ rotation.T
    return (moment + moment.T) / 2


@dataclass
class Layer:
    """A layer whose previous keys come and go, and the same keys kept plainly beside them."""

    moment: Tensor
    previous: PreviousKeys = field(init=False)
    plain: Tensor = field(init=False)
    base: LayerBase = field(init=False)

    def __post_init__(self) -> None:
        self.base = LayerBase.of(self.moment)
        self.previous = PreviousKeys.empty(len(self.moment), self.moment.device)
        self.plain = self.moment[:, :0]

    def append(self, keys: Tensor) -> None:
        self.previous, self.plain = self.previous.append(keys), torch.cat([self.plain, keys], dim=1)

    def take_out(self, columns: Sequence[int]) -> None:
        self.previous = self.previous.without(columns)
        self.plain = self.plain[:, [column for column in range(self.plain.shape[1]) if column not in set(columns)]]

    def solve(self, method: str, keys: Tensor, preset: Preset) -> Tensor:
        assert torch.equal(self.previous.keys, self.plain)
        found: Tensor = METHODS[method].right_factor(keys, LayerPrior(self.base, self.previous), preset)
        return found

    def dense(self, method: str, keys: Tensor, preset: Preset) -> Tensor:
        found: Tensor = METHODS[method].dense_right_factor(keys, LayerPrior(self.base, self.previous), preset)
        return found

    def exact(self, method: str, keys: Tensor, preset: Preset) -> tuple[Any, float]:
        """The right factor (n, d_in) in extended precision: the dense solve, refined by residuals of 64 bits.

        And the condition number of its matrix. Skips the test where long double is float64: there is no more exact
        answer there to hold the solves against.
        """
        if np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps:
            pytest.skip("long double is no wider than float64 on this platform")
        previous, fresh = wide(self.plain), wide(keys)
        if method == "memit":
            back, base = np.eye(len(keys)), preset.mom2_update_weight * wide(self.moment)
        else:
            basis = self.base.null_space(preset.nullspace_threshold).basis
            assert basis is not None
            back, base = wide(basis), preset.L2 * np.eye(basis.shape[1])
        previous, fresh = back.T @ previous, back.T @ fresh
        matrix, found = base + previous @ previous.T + fresh @ fresh.T, np.zeros_like(fresh)
        factors = torch.linalg.lu_factor(torch.from_numpy(matrix.astype(np.float64)))
        for _ in range(12):
            residual = torch.from_numpy((fresh - matrix @ found).astype(np.float64))
            found = found + wide(torch.linalg.lu_solve(*factors, residual))
        return (back @ found).T, float(np.linalg.cond(matrix.astype(np.float64))) if matrix.size else 1.0

    def check(self, method: str, keys: Tensor, preset: Preset) -> None:
        exact, condition = self.exact(method, keys, preset)
        allowed = max(BOUND, BOUND * condition / CONDITION, 2 * error(self.dense(method, keys, preset), exact))
        assert error(self.solve(method, keys, preset), exact) <= allowed


def wide(tensor: Tensor) -> Any:
    return tensor.cpu().numpy().astype(np.longdouble)


def error(found: Tensor, exact: Any) -> float:
    """Relative, Frobenius."""
    size = np.linalg.norm(exact.astype(np.float64))
    return float(np.linalg.norm((wide(found) - exact).astype(np.float64)) / size) if size else float(found.norm())


def preset(weight: float, ridge: float = 1.0, threshold: float = FREE) -> Preset:
    return Preset((0,), mom2_update_weight=weight, L2=ridge, nullspace_threshold=threshold)
