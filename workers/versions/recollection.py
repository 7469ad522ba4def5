"""What a model knows at a version, as the log's manifests say: the facts in force and the columns of their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from app.domain.contract import FactKey
from app.domain.errors import DamagedVersion
from app.domain.history.terms import Term
from app.domain.places import Place
from workers.editing.knowledge import KnowledgeBase, KnownFact, Written
from workers.editing.layer_keys import LayerKeys
from workers.versions.logged_facts import as_facts


def recalled(terms: Sequence[Term], layers: Mapping[int, LayerKeys]) -> KnowledgeBase:
    """The knowledge base of the version that these terms make up. ``layers``: its previous keys.

    Raises:
        DamagedVersion: a term does not follow from those before.
    """
    knowledge, places = KnowledgeBase(), places_of(terms)
    for term in terms:
        knowledge = followed(knowledge, replace(term, retired=frozenset()), places, (), {})
    return knowledge.over(layers)


def places_of(terms: Sequence[Term]) -> dict[FactKey, Place]:
    """What each of the terms' facts is about."""
    return {held.key: held.fact.place for term in terms for held in term.facts}


def followed(
    knowledge: KnowledgeBase,
    term: Term,
    places: Mapping[FactKey, Place],
    positions: Sequence[int],
    keys: Mapping[int, Tensor],
) -> KnowledgeBase:
    """The knowledge base after a term. ``positions``: the term's columns that ``keys`` (d_in, n), by layer, are of."""
    companions = [_companion(knowledge, term, key, places.get(key)) for key in (each.key for each in term.companions)]
    admission = knowledge.admission(companions, term.retired, keys)
    facts = zip(as_facts([held.fact for held in term.facts]), term.facts, strict=True)
    own = [
        Written(fact, held.key.index, held.key.index if held.fact.column is None else held.fact.column)
        for fact, held in facts
    ]
    columns = [companion.column for companion in term.companions]
    return knowledge.grown(term.version, admission, own, columns, positions, keys)


def _companion(knowledge: KnowledgeBase, term: Term, key: FactKey, place: Place | None) -> KnownFact:
    known = None if place is None else knowledge.facts.get(place)
    if known is None or (known.version, known.index) != (key.version, key.index):
        detail = f"version {term.version} names a companion that was not in force: {key}"
        raise DamagedVersion(detail, field="companions", value=term.version)
    return known
