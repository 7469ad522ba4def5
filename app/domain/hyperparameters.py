"""What values a hyperparameter may have: the same for a request, which says so in its schema, and for the engine.

Standard library only: the engine is used without pydantic too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Range:
    """Finite values from ``low`` to ``high``, if there is one. ``low`` is one of them unless the range is ``open``."""

    low: float
    high: float | None = None
    open: bool = False

    def holds(self, value: float) -> bool:
        """Whether a value is one of them."""
        above = value > self.low if self.open else value >= self.low
        return math.isfinite(value) and above and (self.high is None or value <= self.high)


POSITIVE, NOT_NEGATIVE, COUNT = Range(0, open=True), Range(0), Range(1)

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "v_num_grad_steps": COUNT,
        "v_lr": POSITIVE,
        "v_weight_decay": NOT_NEGATIVE,
        "kl_factor": NOT_NEGATIVE,
        "clamp_norm_factor": POSITIVE,
        "early_stop": COUNT,
        "mom2_update_weight": POSITIVE,
        "update_norm_lambda": NOT_NEGATIVE,
        "L2": POSITIVE,
        "share": Range(0, high=0.999, open=True),
        "nullspace_threshold": POSITIVE,
        "rect_share": Range(0, high=1, open=True),
        "num_steps": COUNT,
        "lr": POSITIVE,
        "norm_constraint": POSITIVE,
    }
)
"""By the field names of the published files; ``layers`` rise from 0."""
