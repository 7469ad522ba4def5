"""A causal trace over many facts: means by site, role and layer, the critical layers that follow, and heat maps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

import torch

from app.domain.errors import RequestError
from workers.editing.model.editable_model import EditableModel
from workers.experiments.answers import Kept
from workers.experiments.cases import Case
from workers.experiments.causal_tracing import SIGMAS, Site, Trace, Tracer
from workers.experiments.recall import Role, recalled, subject_deviation
from workers.experiments.sequence import Heard

PART = 0.5
"""Critical are the layers around the peak whose effect is above this part of it."""


class Tracing(Kept):
    """What was found. clean, disturbed: mean probabilities of the answers' first tokens.

    deviation: of the subjects' embeddings. effects: mean indirect effect by site, role and layer, over the facts that
    have such tokens; by role how many facts that were. critical: the layers that MLPs recall facts at.
    """

    model: str
    dataset: str
    facts: int
    asked: int
    samples: int
    deviation: float
    clean: float
    disturbed: float
    effects: Mapping[Site, Mapping[Role, tuple[float, ...]]]
    of_role: Mapping[Role, int]
    critical: tuple[int, ...]

    def as_page(self, figure: str | None) -> str:
        """The page, in Markdown."""
        peaks = "\n".join(
            f"| {site.value} | {role.value} | {peak_of(effects)} | {effects[peak_of(effects)]:.3f} |"
            for site, roles in self.effects.items()
            for role, effects in roles.items()
        )
        picture = "" if figure is None else f"\n![indirect effects]({figure})\n"
        first, last = self.critical[0], self.critical[-1]
        return f"""# Where {self.model} recalls facts

Causal tracing over {self.facts} facts of {self.dataset} that the model knows ({self.asked} were asked), each with \
{self.samples} disturbances of {SIGMAS:g} standard deviations of the subjects' embeddings ({self.deviation:.4g}).

- The right answer's first token: {self.clean:.1%} clean, {self.disturbed:.1%} with the subject disturbed.
- MLPs recall at layers {first} to {last}: there, an MLP's output put back at the last subject token has at least \
{PART:.0%} of the best layer's effect.
- To edit there: `"hyperparameters": {{"layers": {[first, last] if first < last else [first]}}}`.
{picture}
| put back | at | layer with the greatest mean effect | effect |
| --- | --- | --- | --- |
{peaks}
"""


def trace_all(
    name: str, dataset: str, editable: EditableModel, cases: Sequence[Case], *, samples: int, seed: int, heard: Heard
) -> Tracing:
    """Trace all cases whose old object the model gives.

    Raises:
        RequestError: it gives none. UnsupportedArchitecture: a block has no attention of its own.
    """
    facts = recalled(editable, cases)
    if not facts:
        raise RequestError("the model knows none of these facts", field="facts", value=dataset)
    deviation = subject_deviation(editable, facts)
    tracer = Tracer(editable, deviation, samples=samples, seed=seed)
    traces = []
    for number, fact in enumerate(facts):
        traces.append(tracer.trace(fact, number))
        heard(f"{number + 1} of {len(facts)} facts traced")
    effects, of_role = averaged(traces)
    return Tracing(
        model=name,
        dataset=dataset,
        facts=len(facts),
        asked=len(cases),
        samples=samples,
        deviation=deviation,
        clean=mean(each.clean for each in traces),
        disturbed=mean(each.disturbed for each in traces),
        effects=effects,
        of_role=of_role,
        critical=critical_layers(effects[Site.MLP][Role.LAST_SUBJECT]),
    )


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


def critical_layers(effects: Sequence[float]) -> tuple[int, ...]:
    """The layers around the greatest effect, one beside another, whose effect is at least ``PART`` of it."""
    first = last = peak_of(effects)
    least = PART * effects[first]
    while first > 0 and effects[first - 1] >= least:
        first -= 1
    while last + 1 < len(effects) and effects[last + 1] >= least:
        last += 1
    return tuple(range(first, last + 1))


def peak_of(effects: Sequence[float]) -> int:
    """The layer with the greatest effect."""
    return max(range(len(effects)), key=effects.__getitem__)


def draw(found: Tracing, path: Path) -> bool:
    """Write the heat maps; False where matplotlib, of the extra ``experiments``, is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(13, 3.4), layout="constrained")
    panels = figure.subplots(1, len(Site))
    for panel, (site, roles) in zip(panels, found.effects.items(), strict=True):
        image = panel.imshow(list(roles.values()), aspect="auto", cmap="viridis", vmin=0.0)
        panel.set_title(f"{site.value} output put back")
        panel.set_xlabel("layer")
        panel.set_yticks(range(len(roles)), [role.value for role in roles] if site is Site.BLOCK else [""] * len(roles))
        figure.colorbar(image, ax=panel, label="mean indirect effect" if site is Site.ATTENTION else None)
    figure.savefig(path)
    return True
