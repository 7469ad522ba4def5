"""TF-IDF against values worked out by hand, and against scikit-learn's."""

from __future__ import annotations

import math

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from workers.experiments.tfidf import Nearest, TfIdf

TEXTS = [
    "The cat sat on the mat.",
    "A dog sat; a dog ran!",
    "Zürich lies in the north of Switzerland, 2 hours from Bern.",
    "the THE The",
    "x y z",
]


def test_a_word_weighs_its_count_times_how_few_documents_have_it() -> None:
    weights = TfIdf.over(["cat sat", "cat ran", "cat cat"])
    assert weights.idf == pytest.approx(
        {"cat": math.log(4 / 4) + 1, "sat": math.log(4 / 2) + 1, "ran": math.log(2) + 1}
    )
    rare, length = 1 + math.log(2), math.hypot(2, 1 + math.log(2))
    assert weights.vector("cat sat cat unheard") == pytest.approx({"cat": 2 / length, "sat": rare / length})


def test_the_cosine_is_that_of_the_vectors() -> None:
    weights = TfIdf.over(["cat sat", "cat ran", "cat cat"])
    rare = 1 + math.log(2)
    assert weights.cosine("cat sat", "cat ran") == pytest.approx(1 / (1 + rare**2))
    assert weights.cosine("cat sat", "sat, CAT") == pytest.approx(1.0)
    assert (weights.cosine("sat", "ran"), weights.cosine("unheard", "cat"), weights.cosine("", "")) == (0, 0, 0)


def test_the_nearest_come_first_and_of_equally_near_ones_the_first() -> None:
    nearest = Nearest.among(["a dog ran", "a cat ran", "nothing", "a cat sat", "a cat ran"])
    assert nearest.to("the cat ran", 4) == [1, 4, 0, 3]
    assert nearest.to("unheard", 2) == [0, 1]


def test_weights_and_cosines_are_scikit_learns() -> None:
    vectorizer = TfidfVectorizer().fit(TEXTS)
    weights, names = TfIdf.over(TEXTS), vectorizer.get_feature_names_out().tolist()
    assert weights.idf == pytest.approx(dict(zip(names, vectorizer.idf_.tolist(), strict=True)))
    asked = [*TEXTS, "the dog of Zürich sat in the north, north", "unheard"]
    rows = vectorizer.transform(asked).toarray()
    for one, first in zip(asked, rows, strict=True):
        given = {name: value for name, value in zip(names, first.tolist(), strict=True) if value}
        assert weights.vector(one) == pytest.approx(given)
        for two, second in zip(asked, rows, strict=True):
            assert weights.cosine(one, two) == pytest.approx(float(first @ second))
