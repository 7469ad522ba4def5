"""What a model was taught, and is to keep: the facts in force, and the keys K_p that protect them.

Published sequential editors only ever add keys. Then the n-th edit of a fact meets n-1 old keys of its own and realises
1/n of its residual, and a second fact about a subject meets the first one's key, which is the same. So here

- a fact that supersedes an earlier one takes that one's key out of K_p, and
- a fact about a subject brings the subject's other facts in force along: they are optimised together with it, as its
  *companions*, and their keys are taken out and put in anew.

Under ``strict`` nothing of this happens. Facts whose text up to the lookup token is the same share one column; it is
taken out for all of them or for none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from torch import Tensor

from app.domain.places import Column, Place
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.layer_keys import LayerKeys
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource, solved_layers
from workers.editing.types import Edited, Fact, Priors


@dataclass(frozen=True, slots=True)
class KnownFact:
    """A fact in force.

    version, index: where it was written.
    columns: those that K_p has, at one layer or more, of this fact and of those that it superseded.
    """

    fact: Fact
    version: int
    index: int
    columns: frozenset[Column]


@dataclass(frozen=True, slots=True)
class Written:
    """A fact as a version wrote it: its index among the version's facts, and its column in the version's tensors."""

    fact: Fact
    index: int
    column: int


@dataclass(frozen=True, slots=True)
class Admission:
    """What a batch meets: the facts that come along with it, and K_p as its solves see it.

    companions: facts in force that are optimised together with the batch.
    retired: columns that leave K_p, at the layers that the batch changes, for good if it is committed.
    layers: K_p without them, at each of those layers that was edited before.
    """

    companions: tuple[KnownFact, ...]
    retired: frozenset[Column]
    layers: Mapping[int, LayerKeys]

    @property
    def facts(self) -> list[Fact]:
        """The companions as facts to write."""
        return [known.fact for known in self.companions]

    def priors(self, source: PriorSource, preset: Preset) -> Priors:
        """What the batch's solves must respect, at each layer that is solved at."""
        ridges, anchors = source.ridges(preset), source.anchors(preset)
        previous = {layer: keys.previous for layer, keys in self.layers.items()}
        return {
            layer: source.at(layer, previous.get(layer), ridges.get(layer), anchors.get(layer))
            for layer in solved_layers(preset)
        }


@dataclass(frozen=True, slots=True)
class KnowledgeBase:
    """Facts in force, in the order in which they were written, and K_p by layer; both of the same version.

    A value: what a batch makes of it is another one, so that a batch that comes to nothing leaves it as it was.
    """

    facts: Mapping[Place, KnownFact] = field(default_factory=dict)
    layers: Mapping[int, LayerKeys] = field(default_factory=dict)

    def admit(self, facts: Sequence[Fact], layers: Collection[int], *, strict: bool) -> Admission:
        """What a batch meets that will change ``layers``.

        Its companions are the facts in force about the same subjects, but those that it writes anew; and those that
        share a column with a fact whose key is taken out, since the column goes with all its facts or with none.
        """
        if strict:
            return self.admission((), frozenset(), layers)
        anew = {fact.place for fact in facts}
        subjects = {place.subject for place in anew}
        related = {place for place in self.facts if place.subject in subjects}
        retired = self._columns_of(related)
        while more := {place for place in self.facts if place not in related and self._shares(place, retired)}:
            related |= more
            retired |= self._columns_of(more)
        companions = tuple(known for place, known in self.facts.items() if place in related - anew)
        return self.admission(companions, retired, layers)

    def admission(
        self, companions: Iterable[KnownFact], retired: frozenset[Column], layers: Collection[int]
    ) -> Admission:
        """An admission whose companions and retired columns are known, as those of a committed batch are."""
        kept = {layer: known.without(retired) for layer, known in self.layers.items() if layer in layers}
        return Admission(tuple(companions), retired, kept)

    def after(self, version: int, facts: Sequence[Fact], admission: Admission, edited: Edited) -> KnowledgeBase:
        """The knowledge base of the version that the batch becomes; its facts are the last ones written."""
        pairs = enumerate(zip(facts, edited.columns, strict=False))
        own = [Written(fact, index, column) for index, (fact, column) in pairs]
        keys = {update.layer: update.keys for update in edited.updates}
        positions = range(next((part.shape[1] for part in keys.values()), 0))
        return self.grown(version, admission, own, edited.columns[len(facts) :], positions, keys)

    def grown(
        self,
        version: int,
        admission: Admission,
        own: Sequence[Written],
        companion_columns: Sequence[int],
        positions: Sequence[int],
        keys: Mapping[int, Tensor],
    ) -> KnowledgeBase:
        """The knowledge base with what a version adds, or with that part of it which still counts.

        Args:
            companion_columns: of each of the admission's companions.
            positions: the version's columns that ``keys`` (d_in, n), by layer, are of.
        """
        layers = dict(self.layers)
        for layer, fresh in keys.items():
            empty = LayerKeys((), PreviousKeys.empty(len(fresh), fresh.device))
            layers[layer] = admission.layers.get(layer, empty).append(version, positions, fresh)
        gone = admission.retired - _columns_at(self.layers, set(self.layers) - set(keys))
        known = dict(self.facts)
        write_down(known, version, zip(admission.companions, companion_columns, strict=True), own, gone)
        return KnowledgeBase(known, layers)

    def over(self, layers: Mapping[int, LayerKeys]) -> KnowledgeBase:
        """The same facts over these previous keys: columns that are at none of the layers are forgotten."""
        present = _columns_at(layers, set(layers))
        facts = {place: replace(known, columns=known.columns & present) for place, known in self.facts.items()}
        return KnowledgeBase(facts, layers)

    def _columns_of(self, places: Set[Place]) -> frozenset[Column]:
        return frozenset(column for place in places for column in self.facts[place].columns)

    def _shares(self, place: Place, columns: Set[Column]) -> bool:
        return not columns.isdisjoint(self.facts[place].columns)


def write_down(
    known: dict[Place, KnownFact],
    version: int,
    companions: Iterable[tuple[KnownFact, int]],
    own: Iterable[Written],
    gone: Set[Column],
) -> None:
    """Add to the facts in force, in place, what a version writes.

    Args:
        companions: earlier facts that it optimised again, and the column of each in it.
        gone: columns that K_p has at no layer any more.
    """
    for companion, column in companions:
        columns = companion.columns - gone | {Column(version, column)}
        known[companion.fact.place] = replace(companion, columns=columns)
    for written in own:
        earlier = known.pop(written.fact.place, None)
        columns = frozenset() if earlier is None else earlier.columns - gone
        columns |= {Column(version, written.column)}
        known[written.fact.place] = KnownFact(written.fact, version, written.index, columns)


def _columns_at(layers: Mapping[int, LayerKeys], chosen: Set[int]) -> frozenset[Column]:
    """The columns that K_p has at any of the chosen layers."""
    return frozenset(column for layer in chosen for column in layers[layer].columns)
