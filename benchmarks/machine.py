"""What a measurement ran on: its name, and the fastest matrix products that it can do."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from workers.experiments.machine import machine

__all__ = ["machine", "matmul_peak", "synchronise"]

PEAK_REPEATS = 5


def synchronise(device: torch.device | str) -> None:
    """Wait until a GPU has done what it was given; nothing on a CPU."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def matmul_peak(device: str, dtype: torch.dtype, sizes: Sequence[int]) -> float:
    """Largest rate, in FLOP/s, of a product of two square matrices of these sizes; the best of some repeats."""
    return max(_rate(device, dtype, size) for size in sizes)


def _rate(device: str, dtype: torch.dtype, size: int) -> float:
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(1 + PEAK_REPEATS):
        synchronise(device)
        start = time.perf_counter()
        torch.mm(left, right)
        synchronise(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
