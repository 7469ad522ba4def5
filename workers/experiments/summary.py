"""Scores of many cases: means over cases with 95% intervals, as the literature names them.

CounterFact (Meng et al. 2022, 2023) calls the successes efficacy (own prompt), generalisation (paraphrases) and
specificity (neighbours), and their harmonic mean the score; zsRE counts tokens instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import harmonic_mean, mean

from workers.experiments.answers import Answered, CaseAnswers, Kept

Z = 1.959964
"""Quantile of the normal distribution for an interval of 95%."""


class Share(Kept):
    """A mean of shares in [0, 1] over ``cases``, each of which counts once however often it was asked.

    low, high: Wilson's interval of 95%, which is no empty one where all or none succeed.
    """

    mean: float
    low: float
    high: float
    cases: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Share | None:
        """None if there are no values."""
        if not values:
            return None
        found, n = mean(values), len(values)
        middle = (found + Z * Z / (2 * n)) / (1 + Z * Z / n)
        width = Z / (1 + Z * Z / n) * math.sqrt(found * (1 - found) / n + Z * Z / (4 * n * n))
        return cls(mean=found, low=max(0.0, middle - width), high=min(1.0, middle + width), cases=n)


class Part(Kept):
    """One kind of question: shares of those that succeed, that are answered to the token, and of tokens.

    success, magnitude: None where there is nothing to compare with. magnitude: mean difference of probabilities.
    """

    success: Share | None
    magnitude: float | None
    exact: Share
    tokens: Share

    @classmethod
    def of(cls, asked: Iterable[Sequence[Answered]]) -> Part | None:
        """From the questions of each case; None if there are none."""
        of_cases = [each for each in asked if each]
        exact = Share.of([mean(one.exact for one in each) for each in of_cases])
        tokens = Share.of([mean(one.tokens for one in each) for each in of_cases])
        if exact is None or tokens is None:
            return None
        compared = [[one for one in each if one.other is not None] for each in of_cases]
        compared = [each for each in compared if each]
        success = Share.of([mean(bool(one.success) for one in each) for each in compared])
        magnitude = mean(mean(one.magnitude or 0.0 for one in each) for each in compared) if compared else None
        return cls(success=success, magnitude=magnitude, exact=exact, tokens=tokens)


class Summary(Kept):
    """All cases. agreement: of neighbours, the share of tokens that the unedited model finds likeliest too."""

    efficacy: Part
    generalisation: Part | None
    specificity: Part | None
    agreement: Share | None

    @classmethod
    def of(cls, found: Sequence[CaseAnswers], unedited: Sequence[CaseAnswers]) -> Summary:
        """Of at least one case; ``unedited``: the same cases, asked of the unedited model."""
        efficacy = Part.of([(each.own,) for each in found])
        assert efficacy is not None
        same = [
            mean(_agreement(now, then) for now, then in zip(after.neighbours, before.neighbours, strict=True))
            for after, before in zip(found, unedited, strict=True)
            if after.neighbours
        ]
        return cls(
            efficacy=efficacy,
            generalisation=Part.of([each.paraphrases for each in found]),
            specificity=Part.of([each.neighbours for each in found]),
            agreement=Share.of(same),
        )

    @property
    def score(self) -> float | None:
        """The harmonic mean of the three successes; None where one of them is not known."""
        parts = (self.efficacy, self.generalisation, self.specificity)
        known = [part.success.mean for part in parts if part is not None and part.success is not None]
        return harmonic_mean(known) if len(known) == len(parts) else None


def _agreement(after: Answered, before: Answered) -> float:
    return mean(now == then for now, then in zip(after.greedy, before.greedy, strict=True))
