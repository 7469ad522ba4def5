"""Batch after batch without a log: what the next one must respect."""

from __future__ import annotations

from collections.abc import Sequence

from workers.editing.model.updates import WeightUpdate
from workers.editing.types import LayerPrior, Priors


def grown(priors: Priors, updates: Sequence[WeightUpdate]) -> dict[int, LayerPrior]:
    """The priors of the next batch: K_p grown by this batch's keys."""
    return {
        **priors,
        **{
            update.layer: priors[update.layer].with_previous_keys(
                priors[update.layer].previous_keys.append(update.keys)
            )
            for update in updates
        },
    }
