"""The targets of a round of groups: those that are known already, and those that a descent has to find."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.editing.crew import Crew, Updates
from workers.editing.efforts import Efforts, strongest
from workers.editing.groups import Group
from workers.editing.lookup import TokenisedFact
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.types import Fact, Found, Known, Observer


class Aims:
    """Targets of some groups of one batch, found as each target layer is asked for."""

    def __init__(
        self,
        facts: Sequence[Fact],
        tokenised: Sequence[TokenisedFact],
        groups: Sequence[Group],
        known: Known,
        efforts: Efforts,
        crew: Crew,
    ) -> None:
        """``facts`` and ``tokenised``: of the whole batch. ``known``: what its groups need not descend to again.

        crew: who descends for the others.
        """
        self.crew = crew
        self._tokenised, self._groups = tokenised, groups
        self._facts = [tuple(facts[index] for index in group.members) for group in groups]
        self.efforts = [strongest(members, efforts) for members in self._facts]
        self._known = [known.get(members) for members in self._facts]
        self._targets: list[dict[int, Tensor]] = [{} for _ in groups]
        self._losses: list[dict[int, tuple[float, ...]]] = [{} for _ in groups]

    @property
    def weights(self) -> Tensor | None:
        """What each group counts in a solve, (groups,), float64; None where all count once."""
        weights = [effort.weight for effort in self.efforts]
        return None if set(weights) <= {1.0} else torch.tensor(weights, dtype=torch.float64)

    @property
    def found(self) -> dict[tuple[Fact, ...], Found]:
        """Targets and losses at all layers that were asked for."""
        each = zip(self._facts, self._targets, self._losses, strict=True)
        return {members: Found(targets, losses) for members, targets, losses in each}

    def at(self, shadow: EditableModel, layer: int, preset: Preset, watch: Observer, added: Updates) -> Tensor:
        """Targets Z (d_out, groups), float64, at one layer: the known ones, and of all others by descent.

        Groups of one effort step together. ``added``: what the shadow has beyond the weights that the edit began from.

        Raises:
            NonFiniteUpdate: a loss is NaN or infinite. Whatever the observer raises.
        """
        for place, known in enumerate(self._known):
            if known is not None and layer in known.targets:
                self._keep(place, layer, known.targets[layer], known.losses[layer])
        missing = [place for place, targets in enumerate(self._targets) if layer not in targets]
        for effort in sorted({self.efforts[place] for place in missing}):
            chosen = [place for place in missing if self.efforts[place] == effort]
            groups = [self._groups[place] for place in chosen]
            made = self.crew.targets(shadow, self._tokenised, groups, layer, effort.of(preset), watch, added)
            losses = iter(made.losses.tolist())
            for place, target in zip(chosen, made.targets.T, strict=True):
                self._keep(place, layer, target, tuple(next(losses) for _ in self._facts[place]))
        return torch.stack([targets[layer] for targets in self._targets], dim=1).contiguous()

    def _keep(self, place: int, layer: int, target: Tensor, losses: tuple[float, ...]) -> None:
        self._targets[place][layer], self._losses[place][layer] = target, losses
