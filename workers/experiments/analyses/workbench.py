"""A model with all that its analyses need: facts as it reads them, hyperparameters, and what solves must respect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from app.domain.errors import InvalidHyperparameter, PalimpsestError, RequestError
from app.domain.settings import DATA_DIR
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.batch import tokenise_batch
from workers.editing.contexts import contexts_of
from workers.editing.groups import Group
from workers.editing.keys import keys_at
from workers.editing.loading import load
from workers.editing.lookup import TokenisedFact
from workers.editing.methods import memit
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.updates import WeightUpdate
from workers.editing.presets import choose_preset
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource
from workers.editing.sinks import off_sinks
from workers.editing.solving import answers as solved
from workers.editing.solving import finite_keys
from workers.editing.statistics import fingerprint
from workers.editing.text.model_text import ModelText
from workers.editing.types import Fact
from workers.experiments.analyses.asked import Asked
from workers.experiments.answers import refuse_unaskable
from workers.experiments.cases import Case, DataSet
from workers.host.statistics_store import find_statistics
from workers.onboarding.kept import Kept
from workers.sources import source_of
from workers.versions.logged_facts import as_facts, as_logged

METHOD = "memit"
"""What the paper analyses."""

FEWEST = 2
"""Critical layers: with one, nothing is distributed."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The facts that are analysed, and those that stand beside them.

    cases, facts, tokenised: one a fact, no two of one key. others: prompts that nothing is taught of, of later records.
    unusable: records passed over because the model cannot be taught them. sharing: those with an earlier one's key.
    """

    cases: tuple[Case, ...]
    facts: tuple[Fact, ...]
    tokenised: tuple[TokenisedFact, ...]
    others: tuple[str, ...]
    unusable: int
    sharing: int


@dataclass(frozen=True, slots=True)
class Workbench:
    """A model that no analysis changes: each edits shadows of it.

    presets: by plan, all with the same critical layers, every one of which may be solved at.
    """

    live: EditableModel
    presets: dict[str, Preset]
    contexts: tuple[str, ...]
    priors: PriorSource
    chosen: Chosen
    batch: int

    @classmethod
    def open(cls, asked: Asked, data: DataSet, device: str, data_dir: Path = DATA_DIR) -> Workbench:
        """Load the model, choose the facts, and take statistics at all critical layers.

        Those are the layers that the hyperparameters name, else all from the model's first to its last one: a preset
        for BLUE may name the two ends alone.

        Raises:
            RequestError: no record can be used, or a hyperparameter is at fault. PalimpsestError: as a host's opening.
        """
        source = source_of(asked.model, data_dir)
        live = load(source, device=device, dtype=asked.dtype)
        known_by = fingerprint(live)
        found, given = Kept.of(data_dir, known_by).read(), asked.hyperparameters.model_dump(exclude_none=True)
        presets = {}
        for plan in ("even", "boundary"):
            preset = choose_preset(source, live.depth, None, METHOD, plan, fingerprint=known_by, found=found)
            presets[plan] = preset.with_overrides({"layers": _between(preset.layers), **given})
        layers = presets["even"].layers
        if len(layers) < FEWEST:
            raise InvalidHyperparameter("one critical layer distributes nothing", field="layers", value=list(layers))
        for layer in layers:
            live.check_layer(layer)
        contexts = contexts_of(live, source)
        chosen = chosen_of(live, data, asked.facts, contexts, presets["even"])
        statistics = find_statistics(live, source, layers, data_dir / "statistics", None)
        return cls(live, presets, contexts, PriorSource(live, statistics, contexts), chosen, asked.batch)

    @property
    def preset(self) -> Preset:
        """That of MEMIT's own plan."""
        return self.presets["even"]

    @property
    def layers(self) -> tuple[int, ...]:
        """The critical layers, rising."""
        return self.preset.layers

    @property
    def groups(self) -> list[Group]:
        """One a fact."""
        return [Group((index,)) for index in range(len(self.chosen.facts))]

    def batches(self) -> Iterator[slice]:
        """The facts that are edited together; the last batch may be smaller."""
        count = len(self.chosen.facts)
        return (slice(start, min(start + self.batch, count)) for start in range(0, count, self.batch))

    def keys(self, model: EditableModel, layer: int, part: slice) -> Tensor:
        """Keys (d_in, n) of some facts under a model's weights, float64."""
        found = keys_at(model, self.chosen.tokenised[part], layer, self.preset.max_batch_tokens)
        return finite_keys(found, layer)

    def right_factor(self, layer: int, keys: Tensor, previous: Tensor | None = None) -> Tensor:
        """Q = K₁ᵀ(λC + K_pK_pᵀ + K₁K₁ᵀ)⁻¹, (n, d_in), float64, for keys K₁ (d_in, n); ``previous``: K_p (d_in, m).

        Raises:
            JobFailed: there is none.
        """
        known = PreviousKeys.empty(len(keys), keys.device)
        if previous is not None:
            known = known.append(previous)
        prior = self.priors.at(layer, known, self.priors.ridges(self.preset)[layer])
        with solved(layer):
            return memit.right_factor(keys, prior, self.preset)

    def write(self, model: EditableModel, layer: int, part: slice, residual: Tensor) -> None:
        """Solve at one layer for a residual (d_out, n) of some facts, and put the update into ``model``."""
        keys = self.keys(model, layer, part)
        dtype = model.master(layer).dtype
        right = self.right_factor(layer, keys)
        model.add(WeightUpdate(layer, residual.to(right.device, dtype), right.to(dtype), keys))


def chosen_of(live: EditableModel, data: DataSet, most: int, contexts: Sequence[str], preset: Preset) -> Chosen:
    """The first ``most`` facts that the model can be taught and asked, no two of one key.

    Raises:
        RequestError: there are none.
    """
    cases: list[Case] = []
    facts: list[Fact] = []
    stems: set[tuple[int, ...]] = set()
    unusable, sharing, rest = 0, 0, iter(data.cases)
    for case in rest:
        try:
            [fact] = as_facts(as_logged((case.fact,), ModelText.of(live.tokenizer)))
            [found] = tokenise_batch(live, [fact], contexts)
            refuse_unaskable(live, case)
        except PalimpsestError:
            unusable += 1
            continue
        if found.prompts[0].stem in stems:
            sharing += 1
            continue
        stems.add(found.prompts[0].stem)
        cases.append(case)
        facts.append(fact)
        if len(facts) == most:
            break
    if not facts:
        raise RequestError("no record of the data set can be edited", field="facts", value=data.name)
    tokenised = off_sinks(live, tokenise_batch(live, facts, contexts), preset.layers[-1], preset.max_batch_tokens)
    others = tuple(case.prompt for case in rest)
    return Chosen(tuple(cases), tuple(facts), tuple(tokenised), others, unusable, sharing)


def _between(layers: Sequence[int]) -> tuple[int, ...]:
    return tuple(range(layers[0], layers[-1] + 1))
