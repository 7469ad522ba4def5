"""A causal trace over the facts of a data set: what was found, as a page and as heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from app.domain.errors import RequestError
from app.domain.prompts import SLOT, with_slot
from workers.causal_tracing.critical import LEAST, PART, averaged, critical_layers, peak_of
from workers.causal_tracing.recall import Role, recalled, subject_deviation
from workers.causal_tracing.tracer import SIGMAS, Site, Tracer
from workers.editing.model.editable_model import EditableModel
from workers.editing.types import Fact
from workers.experiments.answers import Kept
from workers.experiments.cases import Case
from workers.experiments.sequence import Heard


class Tracing(Kept):
    """What was found. clean, disturbed: mean probabilities of the answers' first tokens.

    deviation: of the subjects' embeddings. effects: mean indirect effect by site, role and layer, over the facts that
    have such tokens; by role how many facts that were. critical: the layers that MLPs recall facts at, if any do.
    context: what stood before each prompt.
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
    context: str = ""

    def as_page(self, figure: str | None) -> str:
        """The page, in Markdown."""
        peaks = "\n".join(
            f"| {site.value} | {role.value} | {peak_of(effects)} | {effects[peak_of(effects)]:.3f} |"
            for site, roles in self.effects.items()
            for role, effects in roles.items()
        )
        behind = f", behind `{self.context.strip()}`" if self.context else ""
        picture = "" if figure is None else f"\n![indirect effects]({figure})\n"
        return f"""# Where {self.model} recalls facts

Causal tracing over {self.facts} facts of {self.dataset} that the model knows ({self.asked} were asked), each with \
{self.samples} disturbances of {SIGMAS:g} standard deviations of the subjects' embeddings \
({self.deviation:.4g}){behind}.

- The right answer's first token: {self.clean:.1%} clean, {self.disturbed:.1%} with the subject disturbed.
{self._told}
{picture}
| put back | at | layer with the greatest mean effect | effect |
| --- | --- | --- | --- |
{peaks}
"""

    @property
    def _told(self) -> str:
        """What follows for an edit, as lines of the page."""
        if not self.critical:
            return (
                "- No layer's MLPs recall these facts by themselves: put back at the last subject token they bring "
                f"back less than {LEAST:.0%} of that, whichever the layer. So tracing says nothing about where to edit."
            )
        first, last = self.critical[0], self.critical[-1]
        return (
            f"- MLPs recall at layers {first} to {last}: there, an MLP's output put back at the last subject token has "
            f"at least {PART:.0%} of the best layer's effect.\n"
            f'- To edit there: `"hyperparameters": {{"layers": {[first, last] if first < last else [first]}}}`.'
        )


def trace_all(
    name: str,
    dataset: str,
    editable: EditableModel,
    cases: Sequence[Case],
    *,
    samples: int,
    seed: int,
    heard: Heard,
    context: str = "",
) -> Tracing:
    """Trace all cases whose old object the model gives.

    Args:
        context: a text before each prompt, so that no subject is the first token, which many models make an attention
            sink: what is disturbed there is more than what is known of the subject.

    Raises:
        RequestError: it gives none; the context has a slot. UnsupportedArchitecture: a block has no attention of its
            own.
    """
    if SLOT in context:
        raise RequestError(f"a context stands before the prompt, and has no {SLOT}", field="context")
    facts = list(recalled(editable, _as_they_were(cases, context)))
    if not facts:
        raise RequestError("the model knows none of these facts", field="facts", value=dataset)
    deviation = subject_deviation(editable, facts)
    tracer = Tracer(editable, deviation, samples=samples, seed=seed)
    traces = []
    for number, fact in enumerate(facts):
        traces.append(tracer.trace(fact, number))
        heard(f"{number + 1} of {len(facts)} facts traced")
    effects, of_role = averaged(traces)
    clean, disturbed = mean(each.clean for each in traces), mean(each.disturbed for each in traces)
    return Tracing(
        model=name,
        dataset=dataset,
        facts=len(facts),
        asked=len(cases),
        samples=samples,
        deviation=deviation,
        clean=clean,
        disturbed=disturbed,
        effects=effects,
        of_role=of_role,
        critical=critical_layers(effects[Site.MLP][Role.LAST_SUBJECT], clean - disturbed),
        context=context,
    )


def _as_they_were(cases: Sequence[Case], context: str) -> list[Fact]:
    """The facts with their objects until now, behind the context; without those whose record does not tell."""
    given = [(case.fact, case.truth) for case in cases if case.truth is not None]
    return [Fact(fact.subject, context + with_slot(fact.subject, fact.template), truth) for fact, truth in given]


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
