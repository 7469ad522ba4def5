"""A matrix that is only ever added to, row after row, without copying what is there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(slots=True)
class _Buffer:
    """Room for rows, of which the first ``filled`` are in use."""

    rows: Tensor
    filled: int


class GrowingRows:
    """Rows (m, width), float64. A value: ``append`` returns another one, and the old one stays as it is.

    Both are views of one buffer. Only the value that ends where the buffer is filled can grow in place; any other, and
    one whose buffer is full, is copied first, into a buffer half as long again as all its rows.
    """

    __slots__ = ("_buffer", "_count")

    def __init__(self, buffer: _Buffer, count: int) -> None:
        self._buffer, self._count = buffer, count

    @classmethod
    def of(cls, rows: Tensor) -> GrowingRows:
        """These rows, as they are; nobody else may change them."""
        return cls(_Buffer(rows, len(rows)), len(rows))

    @classmethod
    def empty(cls, width: int, device: torch.device | str = "cpu") -> GrowingRows:
        """No rows, on that device."""
        return cls.of(torch.empty(0, width, dtype=torch.float64, device=device))

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> Tensor:
        """(m, width): a view."""
        return self._buffer.rows[: self._count]

    def append(self, rows: Tensor) -> GrowingRows:
        """The same with rows (n, width), of any dtype, at the end."""
        end = self._count + len(rows)
        buffer = self._buffer
        if buffer.filled != self._count or end > len(buffer.rows):
            buffer = _Buffer(self.rows.new_empty(end * 3 // 2, self.rows.shape[1]), self._count)
            buffer.rows[: self._count] = self.rows
        buffer.rows[self._count : end] = rows
        buffer.filled = end
        return GrowingRows(buffer, end)

    def keep(self, chosen: Tensor) -> GrowingRows:
        """The rows at which ``chosen`` (m,), bool, is true, in a buffer of their own."""
        return GrowingRows.of(self.rows[chosen])
