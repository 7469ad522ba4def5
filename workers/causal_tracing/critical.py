"""Means of traces over many facts, and the critical layers that follow from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch

from workers.causal_tracing.recall import Role
from workers.causal_tracing.tracer import Site, Trace

PART = 0.5
"""Critical are the layers around the peak whose effect is above this part of it."""

LEAST = 0.05
"""Where the peak brings back less than this part of what the disturbance took, no layer recalls the facts by itself."""


def averaged(traces: Sequence[Trace]) -> tuple[dict[Site, dict[Role, tuple[float, ...]]], dict[Role, int]]:
    """Mean effects by site, role and layer: first over a fact's tokens of that role, then over facts; and by role how
    many facts have such tokens."""
    found: dict[tuple[Site, Role], list[torch.Tensor]] = defaultdict(list)
    for trace in traces:
        roles = trace.fact.roles()
        for role in Role:
            if places := [at for at, each in enumerate(roles) if each is role]:
                for site, effects in trace.effects.items():
                    found[site, role].append(effects[places].mean(0))
    means = {
        site: {role: tuple(torch.stack(found[site, role]).mean(0).tolist()) for role in Role if found[site, role]}
        for site in Site
    }
    return means, {role: len(found[Site.BLOCK, role]) for role in Role}


def critical_layers(effects: Sequence[float], taken: float) -> tuple[int, ...]:
    """The layers around the greatest effect, one beside another, whose effect is at least ``PART`` of it; none where
    it is too small to tell.

    taken: by how much the disturbance lowered the answer's probability.
    """
    first = last = peak_of(effects)
    if effects[first] <= 0.0 or effects[first] < LEAST * taken:
        return ()
    least = PART * effects[first]
    while first > 0 and effects[first - 1] >= least:
        first -= 1
    while last + 1 < len(effects) and effects[last + 1] >= least:
        last += 1
    return tuple(range(first, last + 1))


def peak_of(effects: Sequence[float]) -> int:
    """The layer with the greatest effect."""
    return max(range(len(effects)), key=effects.__getitem__)
