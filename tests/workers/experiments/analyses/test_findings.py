"""Verdicts on figures that are made up."""

from __future__ import annotations

import pytest

from workers.experiments.analyses.analysis import Analysis
from workers.experiments.analyses.asked import Asked
from workers.experiments.analyses.bound import Bound, Point
from workers.experiments.analyses.contribution import Contributions
from workers.experiments.analyses.findings import Verdict, findings
from workers.experiments.analyses.residuals import Kind
from workers.experiments.analyses.similarity import Similarity
from workers.experiments.analyses.steps import Steps

ASKED = Asked(model="m", dataset="d", digest="0", facts=2, batch=2)


def verdicts(**sections: object) -> list[str]:
    return [each.verdict.value for each in findings(Analysis(asked=ASKED).model_copy(update=sections))]


def contributed(even: list[float], computed: list[float], sqrt: list[float]) -> Contributions:
    kinds = {Kind.EVEN: even, Kind.COMPUTED: computed, Kind.SQRT: sqrt}
    scores = {kind: {layer: (each, each) for layer, each in enumerate(means)} for kind, means in kinds.items()}
    return Contributions(before=(0.0, 0.0), scores=scores)


@pytest.mark.parametrize(
    ("even", "computed", "sqrt", "told"),
    [
        ([0.1, 0.5, 0.95], [0.93, 0.97, 0.95], [0.2, 0.7, 0.95], ["holds", "holds", "holds"]),
        ([0.5, 0.1, 0.8], [0.6, 0.7, 0.8], [0.4, 0.7, 0.8], ["holds in part"] * 3),
        ([0.8, 0.4, 0.2], [0.3, 0.3, 0.2], [0.7, 0.3, 0.2], ["does not hold"] * 3),
    ],
)
def test_contributions(even: list[float], computed: list[float], sqrt: list[float], told: list[str]) -> None:
    assert verdicts(contributions=contributed(even, computed, sqrt)) == told


def test_cosines_that_fall_and_distances_that_do_not_grow() -> None:
    found = Similarity(
        cosines={3: (0.1, 0.3), 4: (0.5,), 5: (1.0, 1.0)},
        distances={3: (1.0,), 4: (1.0,), 5: (1.0,)},
        spectral={},
        norms={},
    )
    assert verdicts(similarity=found) == ["holds", "does not hold"]


def test_steps_as_the_paper_has_them_of_gpt2_xl() -> None:
    found = Steps(most=20, in_sequence={13: (16, 17), 14: (8, 9), 15: (1, 2), 16: (0, 1), 17: (0, 0)}, unedited={})
    assert verdicts(steps=found) == ["holds", "holds"]
    slow = found.model_copy(update={"in_sequence": {13: (5,), 14: (9,), 15: (4,), 16: (1,)}})
    assert verdicts(steps=slow) == ["holds in part", "holds in part"]


def test_an_error_beyond_its_bound_is_told() -> None:
    def point(layer: int, facts: int, previous: int, error: float) -> Point:
        return Point(
            layer=layer,
            distance=1 - layer,
            facts=facts,
            previous=previous,
            error=error,
            bound=2.0,
            total=error + previous,
            factor=1.0,
        )

    sizes = (point(1, 1, 0, 0.0), point(1, 4, 0, 0.0), point(0, 1, 0, 1.0), point(0, 4, 0, 1.5))
    places = (point(0, 1, 0, 1.0), point(0, 1, 1, 0.9), point(0, 1, 2, 0.8))
    kept = Bound(by_size=sizes, by_place=places)
    assert verdicts(bound=kept) == ["holds", "holds", "holds", "does not hold", "holds"]
    broken = kept.model_copy(update={"by_size": (*sizes[:3], point(0, 4, 0, 2.1))})
    assert verdicts(bound=broken)[0] == Verdict.PARTLY
