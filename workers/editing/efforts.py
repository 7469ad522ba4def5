"""How much a fact is given beyond its preset, when it did not hold with that alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from workers.editing.presets.preset import Preset
from workers.editing.types import Fact


@dataclass(frozen=True, slots=True, order=True)
class Effort:
    """Factors on what the preset gives every fact.

    steps, rate, clamp: of the descent to its target (``v_num_grad_steps``, ``v_lr``, ``clamp_norm_factor``), which then
        goes on where ``early_stop`` would have ended it; of a method that tunes, of its steps, rate and bound. Tuned
        facts move one matrix together, so the strongest counts.
    weight: the fact counts in a solve as if it were given so often. So its realised share grows as with λ / ``weight``,
        and that of the others hardly changes. A solve that is exact for each key, as ROME's, takes no notice.
    """

    steps: int = 1
    rate: float = 1.0
    clamp: float = 1.0
    weight: float = 1.0

    def of(self, preset: Preset) -> Preset:
        """The preset with this effort, the solve's part left out: that is no matter of hyperparameters."""
        if self == replace(AS_PRESET, weight=self.weight):
            return preset
        return replace(
            preset,
            v_num_grad_steps=preset.v_num_grad_steps * self.steps,
            v_lr=preset.v_lr * self.rate,
            clamp_norm_factor=preset.clamp_norm_factor * self.clamp,
            early_stop=None,
            num_steps=preset.num_steps * self.steps,
            lr=preset.lr * self.rate,
            norm_constraint=preset.norm_constraint * self.clamp,
        )


AS_PRESET = Effort()
"""What every fact is given at first."""

Efforts = Mapping[Fact, Effort]
"""Facts that are not in it have the preset's alone."""


def strongest(facts: tuple[Fact, ...], efforts: Efforts) -> Effort:
    """The effort of facts that have one target, or are tuned together."""
    return max((efforts.get(fact, AS_PRESET) for fact in facts), default=AS_PRESET)
