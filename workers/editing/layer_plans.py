"""Which layers a batch changes, toward whose targets, and with what share of the residual."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from app.domain.errors import UnknownPlan


@dataclass(frozen=True, slots=True)
class LayerStep:
    """One step of a layer plan: change ``layer`` so that ``target_layer``'s output nears its targets.

    ``share`` is the part of the residual that this step solves for. ``carried_from``: the earlier layer whose targets
    lead to this step's; None: a descent finds them.
    """

    layer: int
    target_layer: int
    share: float
    carried_from: int | None = None


LayerPlan = Callable[[Sequence[int]], list[LayerStep]]


def boundary_layers(critical_layers: Sequence[int]) -> list[LayerStep]:
    """The first and the last critical layer, each toward targets of its own, all of the residual (BLUE, 4.3)."""
    first, last = critical_layers[0], critical_layers[-1]
    return [LayerStep(layer=layer, target_layer=layer, share=1.0) for layer in dict.fromkeys((first, last))]


def replayed_boundary(critical_layers: Sequence[int]) -> list[LayerStep]:
    """As ``boundary_layers``, with one descent: the last layer's targets are what the first one's lead to (2605.00358).

    A forward pass of the bare prompts with the first layer's targets in place gives them, before any weight changes.
    """
    first, *later = boundary_layers(critical_layers)
    return [first, *(LayerStep(step.layer, step.target_layer, step.share, first.layer) for step in later)]


def even_spread(critical_layers: Sequence[int]) -> list[LayerStep]:
    """Every critical layer, toward the last one's targets; each takes an even share of what is left (MEMIT, eq. 20)."""
    last, count = critical_layers[-1], len(critical_layers)
    return [
        LayerStep(layer=layer, target_layer=last, share=1.0 / (count - position))
        for position, layer in enumerate(critical_layers)
    ]


def sqrt_spread(critical_layers: Sequence[int]) -> list[LayerStep]:
    """As ``even_spread``, with the square root of each share: early layers take more (PMET; Li et al., 2024)."""
    return [
        LayerStep(layer=step.layer, target_layer=step.target_layer, share=math.sqrt(step.share))
        for step in even_spread(critical_layers)
    ]


PLANS: Mapping[str, LayerPlan] = MappingProxyType(
    {"boundary": boundary_layers, "replay": replayed_boundary, "even": even_spread, "sqrt": sqrt_spread}
)


def find_plan(name: str) -> LayerPlan:
    """The plan of that name.

    Raises:
        UnknownPlan: there is none.
    """
    try:
        return PLANS[name]
    except KeyError:
        raise UnknownPlan(f"plans are {', '.join(PLANS)}", field="plan", value=name) from None
