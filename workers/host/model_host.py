"""The live model, its version and what it was taught: opened from the edit log, changed by commits alone.

An edit is proposed on a shadow, verified there, committed to the log, and only then published.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from app.domain.contract import EditBatch, Hyperparameters, Verify
from app.domain.errors import (
    InvalidHyperparameter,
    LayerOutOfRange,
    PalimpsestError,
    RequestError,
    StatisticsMismatch,
)
from app.domain.garbage_collection import collection_paused
from app.domain.log.edit_log import EditLog
from app.domain.manifest import Base
from workers.editing.batch import refuse_untokenised
from workers.editing.loading import load
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource
from workers.editing.statistics import Statistics
from workers.editing.text.model_text import ModelText
from workers.evaluation.askable import refuse_unaskable
from workers.evaluation.harm import HarmMeter
from workers.host.host_settings import HostSettings, preset_of, recognised, tell_of
from workers.host.leading_host import LeadingHost
from workers.host.log_base import base_of, log_contexts
from workers.host.statistics_store import find_statistics, kept_texts, texts_beside
from workers.spreading.pile import Heap, Spread
from workers.spreading.spreading import Spreading
from workers.steps import Steps
from workers.versions.logged_facts import as_facts, as_sent, logged_facts

PRESETS = 64
"""So many of the presets that batches asked for last are remembered."""


class ModelHost(LeadingHost):
    """One model in memory, whose host leads its edit log, or follows it and may come to lead.

    Only one thread may lead, follow and edit; any thread may ask questions.
    """

    def __init__(
        self,
        settings: HostSettings,
        live: EditableModel,
        statistics: Statistics,
        edit_log: EditLog,
        base: Base,
        texts: Sequence[Sequence[int]] = (),
    ) -> None:
        """``texts``: token ids of texts that no edit is about, to measure harm on; none: harm is not measured."""
        super().__init__(settings, live, edit_log)
        self.base = base
        self.harm = HarmMeter(live, texts)
        self._heap: Heap | None = None
        self._words = ModelText.of(live.tokenizer)
        self._preset = lru_cache(PRESETS)(self._preset_with)  # callers change few of them, and every check needs one
        self._priors = PriorSource(live, statistics, base.contexts)

    @classmethod
    def open(cls, settings: HostSettings) -> ModelHost:
        """Load the model, begin its log if there is none, and put the log's newest version in service as a follower.

        Raises:
            ModelMismatch: the log is of other weights.
            DamagedVersion: a version does not have the bytes that were committed.
            StatisticsMismatch: no statistics, or another model's.
        """
        live = load(settings.source, revision=settings.revision, device=settings.device, dtype=settings.dtype)
        settings = recognised(settings, live)
        edit_log = EditLog(settings.log_root, settings.name)
        preset = preset_of(settings, live)
        tell_of(settings, preset)
        contexts = log_contexts(settings, live, edit_log)
        base = edit_log.create(base_of(settings, live, contexts, preset))
        directory = settings.data_dir / "statistics"
        layers = sorted({*preset.layers, *settings.layers})
        statistics = find_statistics(
            live, settings.source, layers, directory, settings.statistics, onboard=settings.onboard
        )
        texts = kept_texts(live, settings.source, directory, settings.statistics) or texts_beside(live, settings.source)
        host = cls(settings, live, statistics, edit_log, base, texts)
        with collection_paused():  # what a long log makes, and it may be a million objects, stays
            host.follow()
        return host

    @property
    def held_out(self) -> tuple[tuple[int, ...], ...]:
        """Token ids of the texts on which harm is measured; none where none are kept."""
        return self.harm.rows

    def check(self, batch: EditBatch) -> None:
        """Refuse a batch that could not be edited, before it is queued.

        Raises:
            RequestError: which fact, field and value is at fault.
            TooManyProposals: it is to be proposed, and as many proposals wait as may.
        """
        if batch.propose:
            self.refuse_too_many()
        self.preset_for(batch)
        self._check_bounds(batch.verify)
        try:
            facts = logged_facts(batch, self._words)
            refuse_untokenised(self._words, as_facts(facts), self.live.window)
            refuse_unaskable(self._words, facts, self.live.window)
        except PalimpsestError as error:
            raise as_sent(error, batch.facts) from None

    def preset_for(self, batch: EditBatch) -> Preset:
        """The model's preset for the batch's method and plan, with the batch's own hyperparameters; strict: by numbers.

        Raises:
            UnknownMethod, UnknownPlan, InvalidHyperparameter, LayerOutOfRange.
        """
        return self._preset(batch.method, batch.plan, batch.hyperparameters, batch.strict)

    def _preset_with(self, method: str | None, plan: str | None, overrides: Hyperparameters, strict: bool) -> Preset:
        if strict:
            self._refuse_ours(overrides)
        preset = preset_of(self.settings, self.live, method, plan)
        self._priors.check(preset)
        try:
            preset = preset.with_overrides(overrides.model_dump(exclude_none=True))
            preset = preset.as_published() if strict else preset
            self._priors.check(preset)
            self._priors.refuse_unsolvable(preset)
        except StatisticsMismatch as error:
            detail = f"{error.detail}: the model is served without statistics there"
            raise LayerOutOfRange(detail, field="hyperparameters.layers", value=error.value) from None
        except RequestError as error:
            raise error.at("hyperparameters") from None
        return preset

    @staticmethod
    def _refuse_ours(overrides: Hyperparameters) -> None:
        """Raise InvalidHyperparameter for what the methods' published code does not know."""
        if overrides.share is not None:
            detail = "the published methods know no share; give mom2_update_weight or L2"
            raise InvalidHyperparameter(detail, field="hyperparameters.share", value=overrides.share)
        if overrides.history is not None:
            detail = "strict has previous keys in the solve or not as the method's own code does"
            raise InvalidHyperparameter(detail, field="hyperparameters.history", value=overrides.history)

    def _check_bounds(self, verify: Verify | None) -> None:
        if verify is not None and verify.of_harm and not self.harm.ready:
            name, bound = next(iter(verify.of_harm.items()))
            detail = "no texts are kept with this model, so what an edit does to other text cannot be measured"
            raise RequestError(detail, field=f"verify.{name}", value=bound)

    def spread_over(self, heap: Heap | None) -> None:
        """Have large batches computed with others' help; None: alone, as at first."""
        self._heap = heap

    def crew(self, steps: Steps) -> Spreading:
        """Who computes for a job."""
        about = Spread(version=self.version, dtype=self.settings.dtype)
        least, lease_s = self.settings.spread_facts, self.settings.slice_lease_s
        return Spreading(self._heap, about, steps.check, least=least, lease_s=lease_s)

    @property
    def priors(self) -> PriorSource:
        """What solves of this model must respect."""
        return self._priors
