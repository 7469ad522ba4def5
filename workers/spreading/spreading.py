"""The leader's way to compute a batch: alone, or with the model's other workers, slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TypeVar

from torch import Tensor

from app.domain.contract import SpreadReport, Standing
from app.domain.failpoints import Point, failpoint
from app.domain.manifest import LoggedFact
from workers.editing.crew import ALONE, Updates
from workers.editing.descent.targets import Descended
from workers.editing.groups import Group
from workers.editing.lookup import TokenisedFact
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.types import Observer
from workers.evaluation.batch_report import Measurement, measure
from workers.questions.scoring import Row, standings_of_rows
from workers.spreading.cutting import cut
from workers.spreading.merging import DOUBLE, bytes_of_updates, joined_descents, joined_keys, joined_measurements
from workers.spreading.pile import Heap, Pile, Spread
from workers.spreading.rounds import Doing, Round
from workers.spreading.slices import (
    KeysWanted,
    MeasureWanted,
    Slice,
    StandingsWanted,
    TargetsWanted,
    Wanted,
    facts_of,
    read_measurement,
    read_standings,
)
from workers.spreading.tensors import pack_updates, unpack_descended, unpack_keys
from workers.spreading.watching import Together

MadeT = TypeVar("MadeT")

MOST_BYTES = 64 << 20
"""Of updates, and of answers: what would be more is computed here, and Redis spared."""


class Spreading:
    """One job's crew. Its helpers never touch the log, and what they do not bring is computed here.

    least: a task of fewer facts is not spread; 0: none is. lease_s: seconds without a sign of life after which a
    helper counts as dead. check: raises where the job is to end.
    """

    def __init__(
        self, heap: Heap | None, about: Spread, check: Callable[[], None], *, least: int, lease_s: float
    ) -> None:
        self._heap, self._about, self._check = heap, about, check
        self._least, self._lease_s = least, lease_s
        self._slices, self._redone = 0, 0
        self._workers: set[str] = set()

    @property
    def report(self) -> SpreadReport | None:
        """How the batch was spread; None: it was not."""
        if not self._slices:
            return None
        return SpreadReport(workers=1 + len(self._workers), slices=self._slices, redone=self._redone)

    def targets(
        self,
        shadow: EditableModel,
        facts: Sequence[TokenisedFact],
        groups: Sequence[Group],
        layer: int,
        preset: Preset,
        watch: Observer,
        added: Updates,
    ) -> Descended:
        """As ``Crew`` says."""
        sizes = [len(group.members) for group in groups]
        parts = self._parts(sizes, added, DOUBLE * shadow.hidden_size * len(groups))
        if len(parts) <= 1:
            return ALONE.targets(shadow, facts, groups, layer, preset, watch, added)
        chosen = [[groups[i] for i in part] for part in parts]
        together = Together(watch, layer, preset.v_num_grad_steps, len(facts))

        def wanted(index: int) -> Wanted:
            theirs, numbered = facts_of(facts, chosen[index])
            return TargetsWanted(layer=layer, preset=preset.as_dict(), facts=theirs, groups=numbered)

        def own(index: int, look: Callable[[], None]) -> Descended:
            mine = together.of(look, sum(sizes[i] for i in parts[index]))
            return ALONE.targets(shadow, facts, chosen[index], layer, preset, mine, added)

        def read(index: int, answer: bytes) -> Descended:
            shape = (shadow.hidden_size, len(parts[index]))
            return unpack_descended(answer, shape, sum(sizes[i] for i in parts[index]), shadow.device_at(layer))

        held = [sum(sizes[i] for i in part) for part in parts]
        return joined_descents(self._spread(Doing(held, own, read, together.waiting), wanted, added, together))

    def keys(
        self,
        shadow: EditableModel,
        facts: Sequence[TokenisedFact],
        groups: Sequence[Group],
        layers: Sequence[int],
        max_batch_tokens: int,
        added: Updates,
    ) -> Mapping[int, Tensor]:
        """As ``Crew`` says."""
        sizes = [len(group.members) for group in groups]
        widths = {layer: shadow.key_width(layer) for layer in layers}
        parts = self._parts(sizes, added, DOUBLE * sum(widths.values()) * len(groups))
        if len(parts) <= 1:
            return ALONE.keys(shadow, facts, groups, layers, max_batch_tokens, added)
        chosen = [[groups[i] for i in part] for part in parts]

        def wanted(index: int) -> Wanted:
            theirs, numbered = facts_of(facts, chosen[index])
            return KeysWanted(layers=tuple(layers), max_batch_tokens=max_batch_tokens, facts=theirs, groups=numbered)

        def own(index: int, look: Callable[[], None]) -> Mapping[int, Tensor]:
            look()
            return ALONE.keys(shadow, facts, chosen[index], layers, max_batch_tokens, added)

        def read(index: int, answer: bytes) -> Mapping[int, Tensor]:
            shapes = {layer: (width, len(parts[index])) for layer, width in widths.items()}
            return unpack_keys(answer, shapes, shadow.device_at)

        held = [sum(sizes[i] for i in part) for part in parts]
        return joined_keys(self._spread(Doing(held, own, read, self._check), wanted, added))

    def standings(self, shadow: EditableModel, rows: Sequence[Row], added: Updates) -> list[Standing]:
        """What ``scoring.standings_of_rows`` finds."""
        parts = self._parts([1] * len(rows), added, 0)
        if len(parts) <= 1:
            return standings_of_rows(shadow.model, rows)
        chosen = [[rows[i] for i in part] for part in parts]

        def own(index: int, look: Callable[[], None]) -> list[Standing]:
            look()
            return standings_of_rows(shadow.model, chosen[index])

        def read(index: int, answer: bytes) -> list[Standing]:
            return read_standings(answer, len(chosen[index]))

        def wanted(index: int) -> Wanted:
            return StandingsWanted(rows=tuple((tuple(prompt), tuple(text)) for prompt, text in chosen[index]))

        doing = Doing([len(part) for part in parts], own, read, self._check)
        found = self._spread(doing, wanted, added)
        return list(chain.from_iterable(found))

    def measure(
        self, shadow: EditableModel, facts: Sequence[LoggedFact], before: Measurement | None, added: Updates
    ) -> Measurement:
        """What ``batch_report.measure`` finds."""
        parts = self._parts([1] * len(facts), added, 0)
        if len(parts) <= 1:
            return measure(shadow, facts, before)
        chosen = [tuple(facts[i] for i in part) for part in parts]
        earlier = [None if before is None else before.part(part) for part in parts]

        def own(index: int, look: Callable[[], None]) -> Measurement:
            look()
            return measure(shadow, chosen[index], earlier[index])

        def read(index: int, answer: bytes) -> Measurement:
            return joined_measurements([read_measurement(answer)], len(chosen[index]))

        def wanted(index: int) -> Wanted:
            return MeasureWanted(facts=chosen[index], before=earlier[index])

        doing = Doing([len(part) for part in parts], own, read, self._check)
        return joined_measurements(self._spread(doing, wanted, added), len(facts))

    def _parts(self, sizes: Sequence[int], added: Updates, answers: int) -> list[range]:
        """How to cut pieces of so many facts; in one part: not at all. ``answers``: their bytes, about."""
        whole = [range(len(sizes))]
        if self._heap is None or not self._least or sum(sizes) < self._least:
            return whole
        if max(answers, bytes_of_updates(added)) > MOST_BYTES:
            return whole
        helpers = self._heap.helpers(self._about.dtype)
        return cut(sizes, 1 + helpers) if helpers else whole

    def _spread(
        self, doing: Doing[MadeT], wanted: Callable[[int], Wanted], added: Updates, together: Together | None = None
    ) -> list[MadeT]:
        """What comes of every slice, in order."""
        assert self._heap is not None
        with self._heap.spread(self._about) as pile:
            slices = [self._slice(pile, index, wanted(index)) for index in range(1, len(doing.sizes))]
            pile.put(slices, pack_updates(added))
            failpoint(Point.SLICES_OUT)
            made = Round(pile, doing, self._lease_s)
            if together is not None:
                together.round = made
            try:
                return made.run()
            finally:
                self._slices += len(doing.sizes)
                self._redone += made.redone
                self._workers |= made.workers

    def _slice(self, pile: Pile, index: int, wanted: Wanted) -> Slice:
        about = self._about
        return Slice(spread=pile.id, index=index, version=about.version, dtype=about.dtype, wanted=wanted)
