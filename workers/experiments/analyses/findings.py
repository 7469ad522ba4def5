"""The paper's findings beside what was found here, with what decides each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from statistics import mean
from typing import NamedTuple

from workers.experiments.analyses.analysis import Analysis
from workers.experiments.analyses.bound import Bound, Point
from workers.experiments.analyses.contribution import Contributions
from workers.experiments.analyses.residuals import Kind
from workers.experiments.analyses.shift import Shift
from workers.experiments.analyses.similarity import Similarity
from workers.experiments.analyses.single_layer import SingleLayer
from workers.experiments.analyses.steps import Steps
from workers.experiments.summary import Part

NEAR_ONE = 0.9
"""A contribution score that counts as near 1.0."""

COMPARABLE = 0.05
"""Shares that differ by no more count as comparable."""

FEW_STEPS = 2.0
"""As the paper has it of the third layer."""

ROUNDING = 1e-9
"""Of a norm, relative."""


class Verdict(StrEnum):
    """Whether a finding of the paper is one here as well."""

    HOLDS = "holds"
    PARTLY = "holds in part"
    FAILS = "does not hold"

    @classmethod
    def of(cls, entirely: bool, at_all: bool) -> Verdict:
        """From what the finding says, and from the least that would be in its sense."""
        return cls.HOLDS if entirely else cls.PARTLY if at_all else cls.FAILS


class Finding(NamedTuple):
    """where: in the paper. claim: what it says, with what counts as that here. here: the figures that decide."""

    where: str
    claim: str
    verdict: Verdict
    here: str


def findings(found: Analysis) -> list[Finding]:
    """Of all sections that are done."""
    parts: Sequence[tuple[object, Callable[..., Iterator[Finding]]]] = (
        (found.contributions, _of_contributions),
        (found.similarity, _of_similarity),
        (found.single_layer, _of_single_layer),
        (found.bound, _of_bound),
        (found.steps, _of_steps),
        (found.shift, _of_shift),
    )
    return [finding for section, told in parts if section is not None for finding in told(section)]


def _of_contributions(found: Contributions) -> Iterator[Finding]:
    computed, even, sqrt = (found.means(kind) for kind in (Kind.COMPUTED, Kind.EVEN, Kind.SQRT))
    yield _rising(
        "Fig. 2",
        "An evenly spread residual contributes less the farther it is spread: less at every earlier layer",
        even,
    )
    yield Finding(
        "Fig. 2",
        f"A computed residual contributes nearly all, at every layer: {NEAR_ONE} or more",
        Verdict.of(
            all(score >= NEAR_ONE for score in computed.values()),
            all(computed[layer] > even[layer] for layer in _spread(even)),
        ),
        _by_layer(computed),
    )
    yield Finding(
        "App. F",
        "Square roots lose less than even parts: a higher score at every layer but the last",
        _everywhere([sqrt[layer] > even[layer] for layer in _spread(even)]),
        f"{_by_layer(sqrt)}; evenly {_by_layer(even)}",
    )


def _of_similarity(found: Similarity) -> Iterator[Finding]:
    if len(found.mean_cosines) > 1:  # else the model gave all objects before
        yield _rising(
            "Fig. 3",
            "A spread residual deviates from the computed one the more, the farther it is spread: a smaller cosine at "
            "every earlier layer",
            found.mean_cosines,
        )
    falling = {layer: -distance for layer, distance in found.mean_distances.items()}
    yield _rising("Fig. 5", "‖R*_l − R_L‖ grows with the distance: greater at every earlier layer", falling)._replace(
        here=_by_layer(found.mean_distances)
    )


def _of_single_layer(found: SingleLayer) -> Iterator[Finding]:
    kinds: Sequence[tuple[str, Callable[[Kind, int], float | None]]] = (
        ("Efficacy", lambda kind, layer: _share(found.edited[kind][layer].efficacy)),
        ("Generalisation", lambda kind, layer: _share(found.edited[kind][layer].generalisation)),
    )
    layers = _spread(found.edited[Kind.EVEN])
    for name, of in kinds:
        computed, even = ([of(kind, layer) for layer in layers] for kind in (Kind.COMPUTED, Kind.EVEN))
        pairs = [(one, two) for one, two in zip(computed, even, strict=True) if one is not None and two is not None]
        if pairs:
            yield Finding(
                "Figs. 4, 8",
                f"{name} of one edited layer is higher with its computed residual, at every layer but the last",
                _everywhere([one > two for one, two in pairs]),
                f"on average {mean(one for one, _ in pairs):.1%}, spread {mean(two for _, two in pairs):.1%}",
            )
    before = _share(found.unedited.specificity)
    if before is not None:
        lost = [
            before - (_share(summary.specificity) or 0.0)
            for by_layer in found.edited.values()
            for summary in by_layer.values()
        ]
        yield Finding(
            "Figs. 4, 8",
            f"Specificity stays as before, whichever residual is written: within {COMPARABLE:.0%}",
            _everywhere([abs(each) <= COMPARABLE for each in lost]),
            f"{before:.1%} before any edit; at most {max(lost):.1%} less",
        )


def _of_bound(found: Bound) -> Iterator[Finding]:
    points = (*found.by_size, *found.by_place)
    yield Finding(
        "Theorem 4.1",
        "The error of the weight shift is within its bound, everywhere",
        _everywhere([point.error <= point.bound * (1 + ROUNDING) for point in points]),
        f"{len(points)} shifts; error / bound {_range([p.error / p.bound for p in points if p.bound > 0])}",
    )
    whole = max(point.facts for point in found.by_size)
    by_distance = {point.layer: -point.error for point in reversed(found.by_size) if point.facts == whole}
    factors = {point.layer: point.factor for point in reversed(found.by_size) if point.facts == whole}
    yield _rising("§4.2", "The error grows with the distance: greater at every earlier layer", by_distance)._replace(
        here=f"{_by_layer({layer: -error for layer, error in by_distance.items()})}; ‖Q‖ {_by_layer(factors)}"
    )
    yield _growing("§4.2", "The error grows with the batch, at the first critical layer", found.by_size, "facts")
    yield _growing("Lemma 4.2", "The error of one batch grows along a sequence", found.by_place, "previous")
    total = "The error of all batches together grows along a sequence"
    yield _growing("Lemma 4.2", total, found.by_place, "previous", "total")


def _of_steps(found: Steps) -> Iterator[Finding]:
    means = list(found.means.values())
    yield Finding(
        "Table 1",
        "Once the first critical layer is written, later targets take fewer steps",
        _everywhere([each < means[0] for each in means[1:]]),
        _by_layer(found.means),
    )
    if len(means) > 2:  # noqa: PLR2004 - two layers are written, and a third one is left
        yield Finding(
            "Table 1",
            f"After two layers hardly any are left: at most {FEW_STEPS:g} at every later layer",
            _everywhere([each <= FEW_STEPS for each in means[2:]]),
            _by_layer(dict(list(found.means.items())[2:])),
        )


def _of_shift(found: Shift) -> Iterator[Finding]:
    for where, moved in (("at the last critical layer", found.moved), ("at the last block", found.at_the_end)):
        even, blue = moved["even"], moved["boundary"]
        even_holds, blue_holds = found.efficacy["even"], found.efficacy["boundary"]
        yield Finding(
            "Figs. 7, 9, 10",
            f"BLUE shifts hidden states of other prompts less, {where}: each of them, and their centre",
            _everywhere([blue.states < even.states, blue.centre < even.centre]),
            f"states {blue.states:.1%}, evenly {even.states:.1%}; centre {blue.centre:.1%}, evenly {even.centre:.1%}; "
            f"efficacy {_share(blue_holds):.1%}, evenly {_share(even_holds):.1%}",
        )


def _rising(where: str, claim: str, by_layer: Mapping[int, float]) -> Finding:
    """A figure that rises from each layer to the next; in part if it does from the first to the last."""
    figures = list(by_layer.values())
    rises = [one < two for one, two in pairwise(figures)]
    return Finding(where, claim, Verdict.of(all(rises), figures[0] < figures[-1]), _by_layer(by_layer))


def _growing(where: str, claim: str, points: Sequence[Point], along: str, what: str = "error") -> Finding:
    """An error of the first layer that grows with one figure; in part if it does from the first point to the last."""
    first = min(point.layer for point in points)
    figures = {getattr(point, along): getattr(point, what) for point in points if point.layer == first}
    errors = list(figures.values())
    verdict = Verdict.of(all(one < two for one, two in pairwise(errors)), errors[0] < errors[-1])
    unit = {"facts": "facts", "previous": "facts before"}[along]
    return Finding(
        where, claim, verdict, ", ".join(f"{error:.3g} ({count} {unit})" for count, error in figures.items())
    )


def _everywhere(true: Sequence[bool]) -> Verdict:
    return Verdict.of(all(true), any(true))


def _spread(by_layer: Mapping[int, object]) -> list[int]:
    """All layers but the last, where a spread residual is the computed one."""
    return sorted(by_layer)[:-1]


def _share(part: Part | None) -> float | None:
    """What a kind of question is judged by."""
    return None if part is None else (part.success or part.tokens).mean


def _by_layer(figures: Mapping[int, float]) -> str:
    return ", ".join(f"{layer}: {figure:.3g}" for layer, figure in figures.items())


def _range(figures: Sequence[float]) -> str:
    return f"{min(figures):.2f} to {max(figures):.2f}" if figures else "not to be told"
