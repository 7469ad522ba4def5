"""The live model, its version and its previous keys: opened from the edit log, changed by commits alone.

Questions read the live model and see one version each. An edit is proposed on a shadow, verified there, committed to
the log, and only then published: the live model takes all edited layers at once, when nobody reads it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from app.domain.contract import EditBatch, JobOutcome, JobStatus, Progress
from app.domain.edit_log import Base, EditLog
from app.domain.errors import EditError, LayerOutOfRange, RequestError, StatisticsMismatch
from workers.editing.architectures import EditableModel
from workers.editing.contexts import checked_contexts, contexts_of
from workers.editing.editor import tokenise_batch
from workers.editing.layer_plans import PLANS
from workers.editing.loading import load
from workers.editing.methods import METHODS
from workers.editing.preset import Preset
from workers.editing.presets import choose_preset
from workers.editing.priors import PriorSource, plan_layers
from workers.editing.statistics import Statistics
from workers.editing.types import Priors, WeightUpdate
from workers.live_lock import LiveLock
from workers.proposal import Proposal, as_facts, as_sent, logged_facts
from workers.statistics_store import find_statistics
from workers.update_files import UPDATE_FILE, unpack

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What a host is opened with. ``epoch_hint`` gives the least epoch to lead under (a counter in Redis)."""

    source: str
    name: str
    log_root: Path
    data_dir: Path
    epoch_hint: Callable[[], int]
    revision: str | None = None
    device: str = "cpu"
    dtype: str = "float32"
    preset: Path | None = None
    statistics: Path | None = None
    max_batch_tokens: int = 16384


@dataclass(frozen=True, slots=True)
class LiveModel:
    """The live model while a question holds it still."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    version: int


class ModelHost:
    """One model, held in memory by the leader of its edit log. Only one thread may edit; any may ask."""

    def __init__(
        self,
        settings: HostSettings,
        live: EditableModel,
        statistics: Statistics,
        edit_log: EditLog,
        contexts: tuple[str, ...],
        epoch: int,
    ) -> None:
        self.name, self.version, self.epoch = settings.name, 0, epoch
        self.settings, self.live, self.log, self.contexts = settings, live, edit_log, contexts
        self._priors = PriorSource(live, statistics)
        self._previous_keys: dict[int, Tensor] = {}
        self._lock = LiveLock()
        self._leadership = ExitStack()

    @classmethod
    def open(cls, settings: HostSettings) -> ModelHost:
        """Load the model, take the lead of its log, and replay what was committed.

        Raises:
            LogLocked: another leader has this log. ModelMismatch: the log is of other weights.
            DamagedVersion: a version does not have the bytes that were committed.
            StatisticsMismatch: no statistics, or another model's.
        """
        live = load(settings.source, revision=settings.revision, device=settings.device, dtype=settings.dtype)
        with ExitStack() as stack:
            edit_log = EditLog(settings.log_root, settings.name)
            preset = _preset(settings, live)
            contexts = _contexts(settings, live, edit_log)
            base = edit_log.create(_base(settings, live, contexts, preset))
            epoch = stack.enter_context(edit_log.lead(settings.epoch_hint()))
            directory = settings.data_dir / "statistics"
            statistics = find_statistics(live, settings.source, preset.layers, directory, settings.statistics)
            host = cls(settings, live, statistics, edit_log, base.contexts, epoch)
            host._replay()
            host._leadership = stack.pop_all()
        return host

    def close(self) -> None:
        """Give up the lead."""
        self._leadership.close()

    # --- asking ------------------------------------------------------------------------------

    @contextmanager
    def questions(self) -> Iterator[LiveModel]:
        """Hold one version still for as long as the block runs."""
        with self._lock.reading():
            yield LiveModel(self.live.model, self.live.tokenizer, self.version)

    def digest(self) -> str:
        """sha256 over the masters of all layers that were ever edited: the same log gives the same digest."""
        digest = hashlib.sha256()
        with self._lock.reading():
            for layer in sorted(self._previous_keys):
                digest.update(_bytes(self.live.master(layer)))
        return digest.hexdigest()

    def card_fields(self) -> dict[str, Any]:
        """What the worker's card says of this model."""
        preset = _preset(self.settings, self.live)
        return {
            "source": self.settings.source,
            "revision": self.settings.revision,
            "device": str(self.live.device),
            "dtype": self.settings.dtype,
            "layers": self.live.depth,
            "window": self.live.window,
            "methods": tuple(METHODS),
            "plans": tuple(PLANS),
            "default_method": preset.method,
            "default_plan": preset.plan,
        }

    # --- editing -----------------------------------------------------------------------------

    def check(self, batch: EditBatch) -> None:
        """Refuse a batch that could not be edited, before it is queued.

        Raises:
            RequestError: which fact, field and value is at fault.
        """
        self.preset_for(batch)
        try:
            tokenise_batch(self.live, as_facts(logged_facts(batch)), self.contexts)
        except EditError as error:
            raise as_sent(error, batch) from None

    def preset_for(self, batch: EditBatch) -> Preset:
        """The model's preset for the batch's method and plan, with the batch's own hyperparameters.

        Raises:
            UnknownMethod, UnknownPlan, InvalidHyperparameter, LayerOutOfRange.
        """
        preset = _preset(self.settings, self.live, batch.method, batch.plan)
        self._priors.check(preset)
        try:
            preset = preset.with_overrides(batch.hyperparameters.model_dump(exclude_none=True))
            self._priors.check(preset)
        except StatisticsMismatch as error:
            detail = f"{error.detail}: the model is served without statistics there"
            raise LayerOutOfRange(detail, field="hyperparameters.layers", value=error.value) from None
        except RequestError as error:
            raise error.at("hyperparameters") from None
        return preset

    def edit(
        self,
        job_id: str,
        batch: EditBatch,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], None],
    ) -> JobOutcome:
        """Apply a batch: propose on a shadow, verify, commit, publish. A job that was committed is not applied again.

        Args:
            should_stop: called between steps; raises JobCancelled or DeadlineExceeded to end the job without a trace.

        Raises:
            EditError: weights, previous keys and log are as before.
        """
        done = self.log.find_job(job_id)
        if done is not None:
            return JobOutcome(status=JobStatus.SUCCEEDED, version=done.version, report=done.report)
        preset = self.preset_for(batch)
        proposal = Proposal(self.live, batch, preset, self.contexts, on_progress, should_stop)
        report = proposal.compute(self.priors(preset))
        if not proposal.satisfies():
            return JobOutcome(status=JobStatus.REJECTED, report=report)
        should_stop()
        on_progress(Progress(stage="commit", share=0.98))
        keys = {update.layer: self._grown(update) for update in proposal.updates}
        manifest = self.log.commit(proposal.draft(job_id, self.version + 1, self.epoch), proposal.files())
        self._publish(proposal.shadow, keys, manifest.version)
        on_progress(Progress(stage="publish", share=1.0))
        log.info("published", extra={"job_id": job_id, "model": self.name, "version": self.version})
        return JobOutcome(status=JobStatus.SUCCEEDED, version=manifest.version, report=report)

    def priors(self, preset: Preset) -> Priors:
        """What a solve must respect at each layer of the preset's plan, under the live version."""
        return {layer: self._priors.at(layer, preset, self._previous_keys.get(layer)) for layer in plan_layers(preset)}

    def _publish(self, edited: EditableModel, previous_keys: dict[int, Tensor], version: int) -> None:
        """Put a committed version in service. Whatever could fail was done before the commit: this only copies."""
        with self._lock.writing():
            for layer in previous_keys:
                self.live.set_master(layer, edited.masters[layer])
            self._previous_keys.update(previous_keys)
            self.version = version

    def _grown(self, update: WeightUpdate) -> Tensor:
        """K_p of the update's layer with the update's keys."""
        previous = self._previous_keys.get(update.layer)
        return update.keys if previous is None else torch.cat([previous, update.keys], dim=1)

    def _replay(self) -> None:
        """Bring the base model to the log's head: the same updates, in order, by the same additions."""
        for manifest in self.log.manifests():
            for update in unpack(self.log.file(manifest.version, UPDATE_FILE), self.live.device):
                self.live.add(update)
                self._previous_keys[update.layer] = self._grown(update)
            self.version = manifest.version
        log.info("replayed", extra={"model": self.name, "version": self.version})


def _preset(settings: HostSettings, live: EditableModel, method: str | None = None, plan: str | None = None) -> Preset:
    chosen = choose_preset(settings.source, live.depth, settings.preset, method, plan)
    return chosen.with_overrides({"max_batch_tokens": settings.max_batch_tokens})


def _contexts(settings: HostSettings, live: EditableModel, edit_log: EditLog) -> tuple[str, ...]:
    """The log's own contexts; for a new log the model's."""
    if edit_log.exists():
        return checked_contexts(edit_log.base().contexts)
    return contexts_of(live, settings.source)


def _base(settings: HostSettings, live: EditableModel, contexts: tuple[str, ...], preset: Preset) -> Base:
    return Base(
        model=settings.name,
        source=settings.source,
        revision=settings.revision,
        modules=dict(enumerate(live.anatomy.projections)),
        weights_sha256={layer: hashlib.sha256(_bytes(live.weight(layer))).hexdigest() for layer in range(live.depth)},
        contexts=contexts,
        preset=preset.as_dict(),
        created=datetime.now(UTC),
    )


def _bytes(weight: Tensor) -> bytes:
    """The weight's bytes in (d_out, d_in) order, whatever its dtype."""
    return weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
