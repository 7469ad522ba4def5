"""Texts as weighted words: unigram TF-IDF, as scikit-learn's ``TfidfVectorizer`` has it by default."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WORD = re.compile(r"\b\w\w+\b")
"""Words of at least two letters or digits; letter case aside."""

Vector = Mapping[str, float]
"""Weights by word, of length 1; empty for a text without a known word."""


def words_of(text: str) -> list[str]:
    """The words of a text, in order."""
    return WORD.findall(text.lower())


@dataclass(frozen=True, slots=True)
class TfIdf:
    """idf: by word, ln((1 + n) / (1 + df)) + 1, over n documents of which df have the word."""

    idf: Mapping[str, float]

    @classmethod
    def over(cls, documents: Sequence[str]) -> TfIdf:
        """Count in how many documents each word is."""
        having = Counter(word for document in documents for word in set(words_of(document)))
        return cls({word: math.log((1 + len(documents)) / (1 + count)) + 1 for word, count in having.items()})

    def vector(self, text: str) -> Vector:
        """How often each word comes, times its idf, divided by the length; words of no document are left out."""
        counts = Counter(word for word in words_of(text) if word in self.idf)
        weights = {word: count * self.idf[word] for word, count in counts.items()}
        length = math.sqrt(sum(weight * weight for weight in weights.values()))
        return {word: weight / length for word, weight in weights.items()}

    def cosine(self, one: str, two: str) -> float:
        """Of the two texts' vectors, in [0, 1]; 0 if one of them is empty."""
        first, second = self.vector(one), self.vector(two)
        return sum(weight * second.get(word, 0.0) for word, weight in first.items())


@dataclass(frozen=True, slots=True)
class Nearest:
    """Documents by their cosine to a text."""

    weights: TfIdf
    having: Mapping[str, Sequence[tuple[int, float]]]
    documents: int

    @classmethod
    def among(cls, documents: Sequence[str]) -> Nearest:
        """Index these."""
        weights = TfIdf.over(documents)
        having: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        for index, document in enumerate(documents):
            for word, weight in weights.vector(document).items():
                having[word].append((index, weight))
        return cls(weights, having, len(documents))

    def to(self, text: str, most: int) -> list[int]:
        """Indices of the ``most`` nearest, nearest first; of equally near ones the first."""
        cosines = [0.0] * self.documents
        for word, weight in self.weights.vector(text).items():
            for index, other in self.having.get(word, ()):
                cosines[index] += weight * other
        return sorted(range(self.documents), key=lambda index: -cosines[index])[:most]
