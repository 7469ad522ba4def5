"""How a batch is cut: large slices first, ever smaller ones toward the end, so that all end at about the same time.

Guided self-scheduling (Polychronopoulos and Kuck, 1987): each slice is a share of what is left. Who takes the next one
when does not matter, nor that some are slower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST = 12
"""Facts of the smallest slice. On atlas-gpt2 six facts take nearly as long as twelve: a slice lasts as long as its
slowest fact, and a gradient step of few facts costs most of what one of twice as many does."""

OF_A_SHARE = 0.9
"""The part of a worker's even share of what is left that the next slice has: few slices, and the last ones small."""


def cut(sizes: Sequence[int], workers: int, least: int = LEAST) -> list[range]:
    """Slices of what comes in pieces that stay whole, of so many facts each; each slice the indices of its pieces.

    Where a worker's even share is less than ``least``, slices may be as small as half of it: better than idle workers.
    """
    slices, start, left = [], 0, sum(sizes)
    least = min(least, max(least // 2, math.ceil(left / workers)))
    while start < len(sizes):
        wanted = max(least, math.ceil(OF_A_SHARE * left / workers))
        wanted = left if left - wanted < least else wanted  # no crumb at the end
        end, held = start, 0
        while end < len(sizes) and (held == 0 or held + sizes[end] <= wanted):
            held += sizes[end]
            end += 1
        slices.append(range(start, end))
        start, left = end, left - held
    return slices
