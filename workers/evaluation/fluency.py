"""How varied generated text is: a model that an edit has hurt repeats itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

WEIGHTS = {2: 2 / 3, 3: 4 / 3}
"""By n, as ROME's code weighs bigrams and trigrams."""


def ngram_entropy(tokens: Sequence[int]) -> float:
    """The weighted mean entropy of a text's bigrams and trigrams, in bits (ROME, "fluency"; Zhang et al., 2018).

    Over the model's tokens, where ROME's code takes English words. 0 for a text without trigrams, and for one that is
    one token again and again.
    """
    return sum(weight * _entropy(tokens, n) for n, weight in WEIGHTS.items()) / len(WEIGHTS)


def _entropy(tokens: Sequence[int], n: int) -> float:
    """Of the text's n-grams, in bits."""
    counts = Counter(zip(*(tokens[start:] for start in range(n)), strict=False))
    total = counts.total()
    return -sum(count / total * math.log2(count / total) for count in counts.values()) if total else 0.0
