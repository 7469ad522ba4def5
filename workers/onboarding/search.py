"""The search for a model's hyperparameters: one axis after another, on facts about the world, until the time is up."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from app.domain.errors import PalimpsestError
from workers.editing.presets.preset import Preset
from workers.onboarding.trial import Bench, Outcome

SPANS = ((0.14, 0.27), (0.05, 0.34), (0.2, 0.34), (0.07, 0.2), (0.27, 0.45))
"""First and last layer that are edited, as shares of the depth; the first is that of the generic preset."""

AXES: Mapping[str, tuple[Any, ...]] = {
    "plan": ("boundary", "replay"),
    "share": (0.4, 0.5, 0.75, 0.9),
    "kl_factor": (0.0, 0.0625),
    "v_lr": (1.0, 0.5, 0.2),
    "clamp_norm_factor": (1.5, 0.75, 3.0),
    "v_weight_decay": (0.5, 0.1),
}
"""Values that are tried, besides the layers; the first is where the search begins."""

WORTH = 0.03
"""A score has to be better by more than this, its standard error over twenty facts, unless it is quicker too."""

QUICKER = 0.85
"""What counts as quicker: at most this share of the seconds. Clocks differ by less from run to run."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial: what was changed, and what came of it; None: it could not be edited."""

    values: dict[str, Any]
    outcome: Outcome | None

    def beats(self, other: Tried) -> bool:
        """Whether this one is to be preferred: it is better, or quicker and no worse.

        A quicker one that is a little worse does not win: many such steps, each within the error, would add up to a
        preset that is much worse than where the search began.
        """
        if self.outcome is None or other.outcome is None:
            return self.outcome is not None
        gain = self.outcome.score - other.outcome.score
        return gain > WORTH or (gain >= 0 and self.outcome.seconds < QUICKER * other.outcome.seconds)


@dataclass(slots=True)
class Search:
    """Trials of one model, kept in a file after each, so that a search which was stopped goes on where it was.

    of: says what else outcomes depend on (facts, contexts, statistics); trials of another search are not taken up.
    longest: seconds that the longest trial of this run took.
    """

    bench: Bench
    start: Preset
    spans: Sequence[list[int]]
    file: Path
    of: str
    tried: dict[str, Tried] = field(default_factory=dict)
    longest: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Read what an earlier run has tried."""
        if self.file.is_file():
            kept = json.loads(self.file.read_text(encoding="utf-8"))
            for row in kept["trials"] if kept["of"] == self.of else ():
                outcome = Outcome(**row["outcome"]) if row["outcome"] else None
                self.tried[_name(row["values"])] = Tried(row["values"], outcome)

    def run(self, seconds: float, tell: Callable[[Tried], None]) -> Tried:
        """The best of what was tried when the time is up, or when no single change is better.

        ``tell`` hears of every trial. At least the start is tried; none begins that would, if it took as long as the
        longest of this run, end after the time is up.
        """
        deadline = time.monotonic() + seconds
        best, moved = self._try(_start(self.spans[0]), tell), True
        while moved:
            moved = False
            for name, choice in self._choices():
                values = {**best.values, name: choice}
                if time.monotonic() + self.longest > deadline and _name(values) not in self.tried:
                    return best
                if (found := self._try(values, tell)).beats(best):
                    best, moved = found, True
        return best

    def at_start(self, layers: list[int]) -> Tried | None:
        """The trial at these layers with all else as where the search begins; None: there was none."""
        return self.tried.get(_name(_start(layers)))

    def best_at(self, spans: Sequence[list[int]]) -> Tried | None:
        """The trial with the best score among those at one of these spans; None: none was tried and could be edited."""
        found = [
            (each.outcome.score, each)
            for each in self.tried.values()
            if each.outcome and each.values["layers"] in spans
        ]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def _choices(self) -> Iterator[tuple[str, Any]]:
        """What can be changed, axis by axis: its name, and a value. First what told most on the models we know."""
        for name, choices in {"layers": tuple(self.spans), **AXES}.items():
            yield from ((name, choice) for choice in choices)

    def _try(self, values: dict[str, Any], tell: Callable[[Tried], None]) -> Tried:
        if (known := self.tried.get(_name(values))) is not None:
            return known
        start = time.monotonic()
        try:
            outcome = self.bench.run(self.start.with_overrides(values))
        except PalimpsestError:  # these values do not fit: another result of a trial
            outcome = None
        found = self.tried[_name(values)] = Tried(values, outcome)
        self.longest = max(self.longest, time.monotonic() - start)
        self._keep()
        tell(found)
        return found

    def _keep(self) -> None:
        rows = [
            {"values": each.values, "outcome": None if each.outcome is None else asdict(each.outcome)}
            for each in self.tried.values()
        ]
        scratch = self.file.with_name(f".{self.file.name}.{os.getpid()}.part")
        scratch.write_text(json.dumps({"of": self.of, "trials": rows}, indent=1) + "\n", encoding="utf-8")
        scratch.replace(self.file)


def spans(depth: int) -> tuple[list[int], ...]:
    """First and last layer of each span, for a model of so many blocks; a pair comes once."""
    found = []
    for first, last in SPANS:
        low = min(round(depth * first), max(depth - 2, 0))
        found.append(sorted({low, min(max(round(depth * last), low + 1), depth - 1)}))
    return tuple(list(pair) for pair in dict.fromkeys(map(tuple, found)))


MOST_BYTES = 4e9
"""Of second moments that are taken at once, float64."""


def affordable(pairs: Sequence[list[int]], width: int) -> list[list[int]]:
    """As many of the spans, the first in any case, as have second moments (width, width) that fit into memory."""
    found: list[list[int]] = []
    layers: set[int] = set()
    for pair in pairs:
        layers |= set(pair)
        if found and 8 * width**2 * len(layers) > MOST_BYTES:
            break
        found.append(pair)
    return found


def _start(layers: list[int]) -> dict[str, Any]:
    """Values that a search begins with at some layers."""
    return {"layers": layers, **{name: values[0] for name, values in AXES.items()}}


def _name(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)
