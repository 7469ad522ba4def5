"""From the edit log to what a version is: the same updates, in order, by the same additions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from app.domain.edit_log import FactKey, LogReader
from app.domain.errors import DamagedVersion
from app.domain.places import Place
from app.domain.replays import Replay
from app.domain.terms import Term
from workers.editing.architectures import EditableModel
from workers.editing.knowledge import Column, KnowledgeBase, KnownFact, LayerKeys, Written
from workers.editing.types import LowRank, WeightUpdate
from workers.logged_facts import as_facts
from workers.update_files import UPDATE_FILE, unpack


@dataclass(frozen=True, slots=True)
class VersionState:
    """A version's weights and what it knows, apart from any module.

    masters: by layer, (d_out, d_in), W_0 + all updates in force, of every layer that has one.
    corrections: by layer, what stands on top of a master; the last in force counts.
    restrained: by layer, the sum that the last edit's correction was made for.
    """

    masters: Mapping[int, Tensor] = field(default_factory=dict)
    corrections: Mapping[int, LowRank] = field(default_factory=dict)
    restrained: Mapping[int, Tensor] = field(default_factory=dict)
    knowledge: KnowledgeBase = field(default_factory=KnowledgeBase)

    @property
    def applied(self) -> dict[int, Tensor]:
        """By layer, what is in service: master and correction together."""
        return {
            layer: master + self.corrections[layer].dense if layer in self.corrections else master
            for layer, master in self.masters.items()
        }

    def with_update(self, update: WeightUpdate, base: Tensor) -> VersionState:
        """The same with an update added; ``base`` is W_0 of its layer. K_p is left to others."""
        layer = update.layer
        master = self.masters.get(layer, base) + update.dense
        state = replace(self, masters={**self.masters, layer: master})
        if update.correction is None:
            return state
        corrections = {**self.corrections, layer: update.correction}
        if len(update.right) == 0:  # a revert's: it adds nothing, and restrains the sum of the edits before it
            return replace(state, corrections=corrections)
        return replace(state, corrections=corrections, restrained={**self.restrained, layer: master})

    def put_on(self, editable: EditableModel) -> None:
        """Make a tree this version, in place; layers that no update in force changes are those of the base."""
        for layer in sorted(editable.masters.keys() | self.masters.keys()):
            editable.set_master(layer, self.masters.get(layer, editable.base(layer)), self.corrections.get(layer))


def replayed(editable: EditableModel, log: LogReader, route: Replay, start: VersionState) -> VersionState:
    """The state that a route leads to. Nothing of the tree changes: W_0 is read from it.

    Args:
        start: what the route's snapshot holds; the base's state if it has none.

    Raises:
        DamagedVersion: a version does not have the bytes that were committed, or does not follow from those before.
    """
    places, state = places_of(route.terms), start
    for term in route.rest:
        updates, positions = counted(log, term, editable.device)
        for update in updates:
            state = state.with_update(update, editable.base(update.layer))
        keys = {update.layer: update.keys for update in updates}
        state = replace(state, knowledge=_followed(state.knowledge, term, places, positions, keys))
    return state


def counted(log: LogReader, term: Term, device: torch.device) -> tuple[list[WeightUpdate], list[int]]:
    """What counts of a term's tensors: its updates without the columns taken out, and the positions of the others.

    Raises:
        CompactedVersion: the tensors were removed.
        DamagedVersion: the version does not have the bytes that were committed.
    """
    whole = unpack(log.read(term.version, UPDATE_FILE), device)
    positions = _standing(whole, term)
    return [_part(update, positions) for update in whole] if term.taken_out else whole, positions


def recalled(terms: Sequence[Term], layers: Mapping[int, LayerKeys]) -> KnowledgeBase:
    """What a version of these terms knows whose previous keys are at hand.

    Raises:
        DamagedVersion: a term does not follow from those before.
    """
    knowledge, places = KnowledgeBase(), places_of(terms)
    for term in terms:
        knowledge = _followed(knowledge, replace(term, retired=frozenset()), places, (), {})
    return knowledge.over(layers)


def places_of(terms: Sequence[Term]) -> dict[FactKey, Place]:
    """What each of the terms' facts is about."""
    return {held.key: held.fact.place for term in terms for held in term.facts}


def _standing(updates: Sequence[WeightUpdate], term: Term) -> list[int]:
    """The columns that count."""
    [width] = {update.keys.shape[1] for update in updates} or {0}
    return [position for position in range(width) if position not in term.taken_out]


def _part(update: WeightUpdate, positions: Sequence[int]) -> WeightUpdate:
    """The update of those columns alone."""
    chosen = list(positions)
    return replace(update, left=update.left[:, chosen], right=update.right[chosen], keys=update.keys[:, chosen])


def _followed(
    knowledge: KnowledgeBase,
    term: Term,
    places: Mapping[FactKey, Place],
    positions: Sequence[int],
    keys: Mapping[int, Tensor],
) -> KnowledgeBase:
    """The knowledge base after a term, by the log's own word."""
    companions = [_companion(knowledge, term, key, places.get(key)) for key in (each.key for each in term.companions)]
    retired = frozenset(Column(*column) for column in term.retired)
    admission = knowledge.admission(companions, retired, keys)
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
