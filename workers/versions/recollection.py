"""What a model knows at a version, as the log's manifests say: the facts in force and the columns of their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from app.domain.contract import FactKey
from app.domain.errors import DamagedVersion
from app.domain.history.terms import Term
from app.domain.places import Place
from workers.editing.knowledge import KnowledgeBase, KnownFact, Written, write_down
from workers.editing.layer_keys import LayerKeys
from workers.versions.logged_facts import as_facts


def recalled(terms: Sequence[Term], layers: Mapping[int, LayerKeys]) -> KnowledgeBase:
    """The knowledge base of the version that these terms make up. ``layers``: its previous keys.

    Raises:
        DamagedVersion: a term does not follow from those before.
    """
    known: dict[Place, KnownFact] = {}  # one for all terms: a copy for each would take as long as terms squared
    places = places_of(terms)
    for term in terms:
        companions = [
            (_companion(known, term, each.key, places.get(each.key)), each.column) for each in term.companions
        ]
        write_down(known, term.version, companions, _own(term), frozenset())
    return KnowledgeBase(known).over(layers)


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
    companions = [_companion(knowledge.facts, term, each.key, places.get(each.key)) for each in term.companions]
    admission = knowledge.admission(companions, term.retired, keys)
    columns = [companion.column for companion in term.companions]
    return knowledge.grown(term.version, admission, _own(term), columns, positions, keys)


def _own(term: Term) -> list[Written]:
    """The facts that a term writes."""
    facts = zip(as_facts([held.fact for held in term.facts]), term.facts, strict=True)
    return [
        Written(fact, held.key.index, held.key.index if held.fact.column is None else held.fact.column)
        for fact, held in facts
    ]


def _companion(facts: Mapping[Place, KnownFact], term: Term, key: FactKey, place: Place | None) -> KnownFact:
    known = None if place is None else facts.get(place)
    if known is None or (known.version, known.index) != (key.version, key.index):
        detail = f"version {term.version} names a companion that was not in force: {key}"
        raise DamagedVersion(detail, field="companions", value=term.version)
    return known
