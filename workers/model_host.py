"""The live model, its version and what it was taught: opened from the edit log, changed by commits alone.

Questions read the live model and see one version each. An edit is proposed on a shadow, verified there, committed to
the log, and only then published: the live model takes all edited layers at once, when nobody reads it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from app.domain.contract import EditBatch, JobOutcome, JobStatus, Progress
from app.domain.edit_log import EditLog, Manifest
from app.domain.errors import EditError, LayerOutOfRange, PreconditionFailed, RequestError, StatisticsMismatch
from app.domain.version_views import Revert, Rollback
from workers.earlier_versions import EarlierVersions
from workers.editing.architectures import EditableModel
from workers.editing.editor import tokenise_batch
from workers.editing.knowledge import KnowledgeBase
from workers.editing.layer_plans import PLANS
from workers.editing.loading import load
from workers.editing.methods import METHODS
from workers.editing.preset import Preset
from workers.editing.priors import PriorSource
from workers.editing.statistics import Statistics
from workers.host_settings import HostSettings, base_of, bytes_of, log_contexts, preset_of
from workers.live_lock import LiveLock
from workers.logged_facts import as_facts, as_sent, logged_facts
from workers.proposal import Proposal
from workers.restoration import restore
from workers.snapshots import Snapshots, state_at
from workers.statistics_store import find_statistics

__all__ = ["HostSettings", "LiveModel", "ModelHost"]

log = logging.getLogger(__name__)


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
        self.knowledge = KnowledgeBase()
        self._lock = LiveLock()
        self._earlier = EarlierVersions(live, edit_log, settings.earlier_versions)
        self._snapshots = Snapshots(edit_log, settings.snapshot_every)
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
            preset = preset_of(settings, live)
            contexts = log_contexts(settings, live, edit_log)
            base = edit_log.create(base_of(settings, live, contexts, preset))
            epoch = stack.enter_context(edit_log.lead(settings.epoch_hint()))
            directory = settings.data_dir / "statistics"
            statistics = find_statistics(live, settings.source, preset.layers, directory, settings.statistics)
            host = cls(settings, live, statistics, edit_log, base.contexts, epoch)
            host._catch_up()
            host._leadership = stack.pop_all()
        return host

    def close(self) -> None:
        """Give up the lead."""
        self._leadership.close()

    # --- asking ------------------------------------------------------------------------------

    @contextmanager
    def questions(self, version: int | None = None) -> Iterator[LiveModel]:
        """Hold one version still for as long as the block runs: the live one, or an earlier one beside it.

        Raises:
            UnknownVersion: there is no such version. CompactedVersion: its tensors were removed.
            DamagedVersion: a version does not have the bytes that were committed.
        """
        earlier = None
        while True:
            with self._lock.reading():
                if version in (None, self.version):
                    yield LiveModel(self.live.model, self.live.tokenizer, self.version)
                    return
                if earlier is not None and self._earlier.apart(earlier):
                    yield LiveModel(earlier.model, self.live.tokenizer, earlier.version)
                    return
            earlier = self._earlier.at(version)  # put together while others ask and edit

    @property
    def publish_waits(self) -> bool:
        """Whether a new version waits for questions to end."""
        return self._lock.writer_waits

    def watch_publishes(self, watch: Callable[[float, float], None]) -> None:
        """Have every publish reported: seconds it waited for questions, and seconds it then held them up."""
        self._lock.on_written = watch

    def digest(self) -> str:
        """sha256 over the float32 weights of all layers that were ever edited: the same log gives the same digest."""
        digest = hashlib.sha256()
        with self._lock.reading():
            for layer in sorted(self.knowledge.layers):
                digest.update(bytes_of(self.live.weights(layer).applied))
        return digest.hexdigest()

    def update_norms(self, old: int, new: int) -> dict[int, float]:
        """Frobenius norm of the difference between two versions' weights, of each layer that differs."""
        return self._earlier.norms_between(old, new)

    def card_fields(self) -> dict[str, Any]:
        """What the worker's card says of this model."""
        preset = preset_of(self.settings, self.live)
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
        preset = preset_of(self.settings, self.live, batch.method, batch.plan)
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
        expected_version: int | None = None,
    ) -> JobOutcome:
        """Apply a batch: propose on a shadow, verify, commit, publish. A job that was committed is not applied again.

        Args:
            should_stop: called between steps; raises JobCancelled or DeadlineExceeded to end the job without a trace.
            expected_version: the version that the batch was meant for; None: any.

        Raises:
            PreconditionFailed: the model is at another version than ``expected_version``.
            EditError: weights, knowledge and log are as before.
        """
        if done := self._done(job_id, expected_version):
            return done
        preset = self.preset_for(batch)
        proposal = Proposal(self.live, batch, preset, self.contexts, self.knowledge, on_progress, should_stop)
        report = proposal.compute(self._priors)
        if not proposal.satisfies():
            return JobOutcome(status=JobStatus.REJECTED, report=report)
        should_stop()
        on_progress(Progress(stage="commit", share=0.98))
        knowledge = proposal.knowledge_as(self.version + 1)
        manifest = self.log.commit(proposal.draft(job_id, self.version + 1, self.epoch), proposal.files())
        self._publish(proposal.shadow, knowledge, manifest.version)
        on_progress(Progress(stage="publish", share=1.0))
        self._snapshots.stepped(self.live, self.version)
        return self._committed(job_id, manifest)

    def take_back(
        self,
        job_id: str,
        change: Rollback | Revert,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], None],
        expected_version: int | None = None,
    ) -> JobOutcome:
        """Go back to a version, or take facts out: sum anew on a shadow, verify, commit, publish. Else as ``edit``.

        Raises:
            UnknownVersion, UnknownFact, InseparableFacts, CompactedVersion: it cannot be done.
            PreconditionFailed, EditError: as ``edit`` does.
        """
        if done := self._done(job_id, expected_version):
            return done
        restored = restore(self.live, self.log, change, on_progress, should_stop)
        on_progress(Progress(stage="commit", share=0.98))
        draft = restored.draft(change, job_id, self.version + 1, self.epoch)
        manifest = self.log.commit(draft, restored.files)
        self._publish(restored.shadow, restored.knowledge, manifest.version)
        on_progress(Progress(stage="publish", share=1.0))
        self._snapshots.jumped(self.live, self.version)
        return self._committed(job_id, manifest)

    def _done(self, job_id: str, expected_version: int | None) -> JobOutcome | None:
        """What became of the job, if it has committed.

        Raises:
            PreconditionFailed: it has not, and the model is at another version than the job was meant for.
        """
        if (done := self.log.find_job(job_id)) is not None:
            return outcome_of(done)
        if expected_version not in (None, self.version):
            detail = f"{self.name} was at version {self.version} when the job's turn came"
            raise PreconditionFailed(detail, field="If-Match", value=expected_version)
        return None

    def _committed(self, job_id: str, manifest: Manifest) -> JobOutcome:
        """The outcome of a job whose version is in service."""
        log.info("published", extra={"job_id": job_id, "model": self.name, "version": self.version})
        return outcome_of(manifest)

    def _publish(self, edited: EditableModel, knowledge: KnowledgeBase, version: int) -> None:
        """Put a committed version in service. Whatever could fail was done before the commit: this only copies."""
        with self._lock.writing():
            self.live.adopt(edited, edited.masters)
            self.knowledge, self.version = knowledge, version

    def _catch_up(self) -> None:
        """Bring the base model to the log's head."""
        self.version = self.log.head()
        state = state_at(self.live, self.log, self.log.replay(self.version))
        state.put_on(self.live)
        self.knowledge = state.knowledge
        log.info("replayed", extra={"model": self.name, "version": self.version})
        self._snapshots.jumped(self.live, self.version)


def outcome_of(manifest: Manifest) -> JobOutcome:
    """The outcome of the job that committed this version."""
    return JobOutcome(
        status=JobStatus.SUCCEEDED, version=manifest.version, report=manifest.report, in_force=manifest.in_force
    )
