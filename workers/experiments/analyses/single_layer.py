"""One layer edited alone, with its computed residual or the even part of the last layer's (§4.1.2, figs. 4 and 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workers.experiments.analyses.residuals import Kind, Residuals
from workers.experiments.analyses.workbench import Workbench
from workers.experiments.answers import CaseAnswers, Kept, answers
from workers.experiments.sequence import Heard
from workers.experiments.summary import Summary

COMPARED = (Kind.COMPUTED, Kind.EVEN)


class SingleLayer(Kept):
    """How all facts stand before any edit, and by kind of residual and layer, after that layer alone was edited."""

    unedited: Summary
    edited: Mapping[Kind, Mapping[int, Summary]]


def single_layer(bench: Workbench, residuals: Residuals, heard: Heard) -> SingleLayer:
    """Each critical layer edited with each kind of residual; every batch on weights that nothing else has changed.

    At the last layer both residuals are one, and so is the edit.

    Raises:
        JobFailed: a solve has no answer. NonFiniteUpdate: keys are not finite.
    """
    unedited = answers(bench.live, bench.chosen.cases)
    edited: dict[Kind, dict[int, Summary]] = {kind: {} for kind in COMPARED}
    for layer in bench.layers:
        heard(f"layer {layer} is edited alone")
        for kind in COMPARED:
            if kind is not Kind.COMPUTED and layer == bench.layers[-1]:
                edited[kind][layer] = edited[Kind.COMPUTED][layer]
            else:
                edited[kind][layer] = Summary.of(_after(bench, residuals, layer, kind), unedited)
    return SingleLayer(unedited=Summary.of(unedited, unedited), edited=edited)


def _after(bench: Workbench, residuals: Residuals, layer: int, kind: Kind) -> Sequence[CaseAnswers]:
    found: list[CaseAnswers] = []
    for part in bench.batches():
        shadow = bench.live.shadow([layer])
        bench.write(shadow, layer, part, residuals.at(layer, kind)[:, part])
        found += answers(shadow, bench.chosen.cases[part])
    return found
