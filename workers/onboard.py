"""Onboarding: a model is looked at, takes its statistics, and gets hyperparameters that hold, kept by its fingerprint.

What `palimpsest onboard` runs, and `palimpsest serve` when it meets a model that it does not know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from app.domain.digests import sha256
from app.domain.errors import RequestError
from app.domain.settings import DATA_DIR
from workers.editing.contexts import contexts_of
from workers.editing.loading import load
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets import generic_preset, known_preset
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource
from workers.editing.statistics import Statistics, fingerprint, save_statistics
from workers.host.statistics_store import find_statistics, statistics_over, statistics_path
from workers.onboarding.card import card
from workers.onboarding.corpus import name_of
from workers.onboarding.inspection import Finding, inspect
from workers.onboarding.kept import Kept
from workers.onboarding.kept_texts import KeptTexts
from workers.onboarding.search import Search, Tried, affordable, spans
from workers.onboarding.traced import Traced
from workers.onboarding.trial import Bench, Outcome, counted, known_to
from workers.onboarding.where import Choice, choices
from workers.onboarding.world_facts import WorldFact, world_facts
from workers.sources import source_of

SEARCHED, PROMISED = 20, 20
"""Facts that presets are tried on, and others that the chosen one is measured on."""

FEWEST = 8
"""A search on fewer facts than this would tell nothing."""

LOOKED_AT = 400
"""At most so many facts are looked at for those whose neighbours the model knows."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Who hears of it: of what was found, of tokens of statistics, of each trial."""

    found: Callable[[Finding], None] = lambda _finding: None
    tokens: Callable[[int], None] = lambda _tokens: None
    tried: Callable[[Tried], None] = lambda _tried: None


@dataclass(frozen=True, slots=True)
class Onboarded:
    """What a model got. promise: on facts that the search has not seen; None where a preset ships with us."""

    preset: Preset
    card: Path | None
    promise: Outcome | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Onboarding:
    """A model that was opened for onboarding; it stays as it is. corpus: None: it writes its own texts."""

    name: str
    source: str
    live: EditableModel
    data_dir: Path
    corpus: str | None = None

    @classmethod
    def open(
        cls,
        model: str,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        data_dir: Path = DATA_DIR,
        corpus: str | None = None,
    ) -> Onboarding:
        """Load a model by what ``source_of`` takes; ``corpus``: a file or data set that ``texts_of`` takes.

        Raises:
            PalimpsestError: there is none, or it cannot be edited.
        """
        source = source_of(model, data_dir)
        return cls(Path(source).name, source, load(source, device=device, dtype=dtype), data_dir, corpus)

    @property
    def kept(self) -> Kept:
        """What an earlier onboarding has left."""
        return Kept.of(self.data_dir, fingerprint(self.live))

    @property
    def contexts(self) -> tuple[str, ...]:
        """Those that its edits stand in."""
        return contexts_of(self.live, self.source)

    @property
    def has_preset(self) -> bool:
        """Whether one ships for this model, or was left by an earlier onboarding."""
        return known_preset(self.source, fingerprint(self.live)) is not None or self.kept.preset.is_file()

    def run(
        self,
        *,
        minutes: float,
        facts: Path | None = None,
        anew: bool = False,
        trace: bool = False,
        telling: Telling | None = None,
    ) -> Onboarded:
        """All of it. A model whose preset ships with us keeps that, and only takes its statistics, unless ``anew``.

        Args:
            minutes: what the search may take, beside the statistics.
            facts: a file of the caller's own facts to calibrate on.
            trace: try the layers of causal tracing too, beside the search's own spans.

        Raises:
            PalimpsestError: the model writes no text, knows too little, or the file is at fault.
        """
        start, tell = time.monotonic(), telling or Telling()
        findings = inspect(self.live)
        for finding in findings:
            tell.found(finding)
        preset = known_preset(self.source, fingerprint(self.live))
        if preset is not None and not anew:
            self._statistics(preset.layers, tell)
            return Onboarded(preset, None, None, time.monotonic() - start)
        return self._calibrated(findings, minutes, facts, tell, start, trace=trace)

    def _statistics(self, layers: tuple[int, ...], tell: Telling) -> Statistics:
        over = "" if self.corpus is None else f", over the texts of {name_of(self.corpus)}"
        tell.found(Finding("needed first", f"statistics at layers {_listed(layers)}, where edits may be made{over}"))
        named = (self.live, self.source, layers, self._directory)
        if self.corpus is not None:
            return statistics_over(*named, self.corpus, tell.tokens)
        return find_statistics(*named, None, progress=tell.tokens)

    @property
    def _directory(self) -> Path:
        return self.data_dir / "statistics"

    def _told(self, statistics: Statistics) -> str:
        """What the card says of the statistics."""
        kept = KeptTexts.beside(statistics_path(self.live, self.source, self._directory))
        of, settled = "", ""
        if kept is not None:
            of = f" of {kept.corpus or 'texts that the model wrote'}"
            settled = ", settled" if kept.settled else ", not settled"
        return f"{statistics.tokens:,} tokens{of}{settled}, layers {_listed(sorted(statistics.second_moments))}"

    def _calibrated(
        self, findings: list[Finding], minutes: float, facts: Path | None, tell: Telling, start: float, *, trace: bool
    ) -> Onboarded:
        known = known_to(self.live, world_facts(facts)[:LOOKED_AT])
        if len(known) < 2 * FEWEST:
            detail = f"the model knows the neighbours of {len(known)} facts; at least {2 * FEWEST} are needed"
            raise RequestError(detail, field="facts")
        half = min(SEARCHED, len(known) // 2)
        searched, promised = known[:half], known[half : half + PROMISED]
        others = known[half + PROMISED :]
        traced = self._traced([*searched, *others], findings, tell) if trace else None
        own = spans(self.live.depth)
        pairs = affordable(own if traced is None else traced.among(own), self.live.key_width(0))
        statistics = self._statistics(tuple(sorted({layer for pair in pairs for layer in pair})), tell)
        contexts = self.contexts
        bench = Bench(self.live, PriorSource(self.live, statistics, contexts), contexts, tuple(searched))
        self.kept.folder.mkdir(parents=True, exist_ok=True)
        told_by = [each.name for each in fields(Outcome)]
        named = () if self.corpus is None else (self.corpus,)
        of = sha256(repr((searched, contexts, statistics.tokens, statistics.fingerprint, told_by, *named)).encode())
        search = Search(bench, generic_preset(self.live.depth), pairs, self.kept.trials, of)
        best = search.run(minutes * 60, tell.tried)
        chosen = search.start.with_overrides(best.values)
        before = Outcome(*counted(self.live, promised), 1.0, 0.0)
        unseen = bench.over(promised)
        promise = unseen.run(chosen)
        where: list[Choice] = []
        if traced is not None and traced.critical:
            where = choices(search, best, promise, traced.span, own, unseen)
        told = self._told(statistics)
        tried, counts = list(search.tried.values()), (len(searched), len(promised))
        self.kept.write(chosen, card(self.name, findings, told, before, tried, chosen, promise, counts, where))
        self._keep_only(statistics, chosen.layers)
        return Onboarded(chosen, self.kept.card, promise, time.monotonic() - start)

    def _traced(self, facts: Sequence[WorldFact], findings: list[Finding], tell: Telling) -> Traced:
        """By tracing; what came of it is told, and added to what was found."""
        found = Traced.of(self.live, facts)
        findings.append(found.finding)
        tell.found(found.finding)
        return found

    def _keep_only(self, statistics: Statistics, layers: tuple[int, ...]) -> None:
        """Leave the statistics of the chosen layers alone: each is (d_in, d_in), and others can be taken again."""
        chosen = {layer: statistics.second_moments[layer] for layer in layers}
        path = statistics_path(self.live, self.source, self._directory)
        save_statistics(Statistics(chosen, statistics.tokens, statistics.fingerprint), path)


def _listed(layers: Iterable[int]) -> str:
    return ", ".join(map(str, layers))
