"""Where to edit: the layers of causal tracing beside the best of a search's own spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.errors import PalimpsestError
from workers.onboarding.search import Search, Tried
from workers.onboarding.trial import Bench, Outcome


@dataclass(frozen=True, slots=True)
class Choice:
    """Layers to edit at, by tracing or by the search. taken: whether the search's choice, all in all, lies there.

    Outcomes are None where nothing was tried. began: with all else as where the search begins. best: with what was best
    at these layers. unseen: with all else as what was chosen, on facts that the search has not seen.
    """

    by: str
    layers: list[int]
    taken: bool
    began: Outcome | None
    best: Outcome | None
    unseen: Outcome | None


def choices(
    search: Search, chosen: Tried, promise: Outcome, traced: list[int], spans: Sequence[list[int]], unseen: Bench
) -> list[Choice]:
    """By tracing and by the search's own spans. The chosen trial stands for its layers, else the one of best score.

    promise: the chosen trial's outcome on the bench of unseen facts, where other layers are measured now.
    """

    def choice(by: str, among: Sequence[list[int]]) -> Choice:
        taken = chosen.values["layers"] in among
        best = chosen if taken else search.best_at(among)
        layers = among[0] if best is None else best.values["layers"]
        began = search.at_start(layers)
        return Choice(
            by,
            layers,
            taken,
            None if began is None else began.outcome,
            None if best is None else best.outcome,
            promise if taken else _with_layers(search, chosen, layers, unseen),
        )

    return [choice("tracing", [traced]), choice("search", spans)]


def _with_layers(search: Search, chosen: Tried, layers: list[int], unseen: Bench) -> Outcome | None:
    """Of what was chosen, but at these layers; None: they have no statistics, or cannot be edited."""
    if layers not in search.spans:
        return None
    try:
        return unseen.run(search.start.with_overrides({**chosen.values, "layers": layers}))
    except PalimpsestError:
        return None
