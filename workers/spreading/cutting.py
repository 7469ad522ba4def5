"""How a batch is cut: large slices first, ever smaller ones toward the end, so that all end at about the same time.

Guided self-scheduling (Polychronopoulos and Kuck, 1987): each slice is a share of what is left. Who takes the next one
when does not matter, nor that some are slower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST = 12
"""Facts of the smallest slice, or half as many for the last: fewer cost a fourth more each, since every gradient step
has costs that do not hang on how many facts take it."""

OF_A_SHARE = 0.9
"""The part of a worker's even share of what is left that the next slice has: few slices, and the last ones small."""


def cut(sizes: Sequence[int], workers: int, least: int = LEAST) -> list[range]:
    """Slices of what comes in pieces that stay whole, of so many facts each; each slice the indices of its pieces."""
    slices, start, left = [], 0, sum(sizes)
    while start < len(sizes):
        wanted = max(least, math.ceil(OF_A_SHARE * left / workers))
        wanted = left if left - wanted < least // 2 else wanted  # no crumb at the end
        end, held = start, 0
        while end < len(sizes) and (held == 0 or held + sizes[end] <= wanted):
            held += sizes[end]
            end += 1
        slices.append(range(start, end))
        start, left = end, left - held
    return slices
