"""A live model whose host may lead the edit log: what it commits it puts in service, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack

from app.domain.contract import JobOutcome
from app.domain.errors import PreconditionFailed, StaleEpoch, VersionExists
from app.domain.failpoints import Point, failpoint
from app.domain.log.edit_log import EditLog
from app.domain.manifest import Draft, Manifest
from workers.editing.knowledge import KnowledgeBase
from workers.editing.model.editable_model import EditableModel
from workers.host.host_settings import HostSettings
from workers.host.live_host import LiveHost
from workers.versions.snapshots import Snapshots

logger = logging.getLogger(__name__)


class LeadingHost(LiveHost):
    """One model in memory; leads its edit log, or follows it, on one thread."""

    def __init__(self, settings: HostSettings, live: EditableModel, edit_log: EditLog) -> None:
        super().__init__(settings.name, live, edit_log, settings.earlier_versions)
        self.settings, self.epoch = settings, 0
        self._snapshots = Snapshots(edit_log, settings.snapshot_every)
        self._leadership = ExitStack()

    # --- leading -----------------------------------------------------------------------------

    def close(self) -> None:
        """Give up the lead, if there is one."""
        self._leadership.close()
        self.epoch = 0

    @property
    def leads(self) -> bool:
        """Whether this host took the lead, and did not give it up; another may have taken over since."""
        return self.epoch > 0

    def lead(self, *, leased: bool = False, take_over: bool = False) -> None:
        """Take the lead of the log, with arguments as ``EditLog.lead`` has them, and be at its head.

        Raises:
            LogLocked: another leader has this log.
            DamagedVersion: a version does not have the bytes that were committed.
        """
        with ExitStack() as stack:
            epoch = stack.enter_context(self.log.lead(self.settings.epoch_hint(), leased=leased, take_over=take_over))
            self._catch_up()
            self._leadership, self.epoch = stack.pop_all(), epoch

    def check_lead(self) -> None:
        """Return if nobody has taken over.

        Raises:
            StaleEpoch: somebody has.
        """
        self.log.check_lead(self.epoch)

    # --- committing --------------------------------------------------------------------------

    def _done(self, job_id: str, expected_version: int | None) -> JobOutcome | None:
        """What became of the job, if it has committed.

        Raises:
            VersionExists: an earlier leader committed it, after this one was brought to the log's head.
            PreconditionFailed: it has not, and the model is at another version than the job was meant for.
        """
        if (done := self.log.find_job(job_id)) is not None:
            if done.version > self.version:
                raise VersionExists(f"an earlier leader committed job {job_id}", value=done.version)
            return done.outcome
        if expected_version not in (None, self.version):
            detail = f"{self.name} was at version {self.version} when the job's turn came"
            raise PreconditionFailed(detail, field="If-Match", value=expected_version)
        return None

    def _committed(self, job_id: str, manifest: Manifest) -> JobOutcome:
        """The outcome of a job whose version is in service."""
        logger.info("published", extra={"job_id": job_id, "model": self.name, "version": self.version})
        return manifest.outcome

    def _put_in_service(
        self, draft: Draft, files: Mapping[str, bytes], edited: EditableModel, knowledge: KnowledgeBase
    ) -> Manifest:
        """Commit and publish. What fails once the version is committed is not the job's failure: the log decides.

        Raises:
            EditError: it was not committed; or VersionExists: it was, and this worker cannot serve it.
        """
        failpoint(Point.COMMIT_BEFORE)
        try:
            manifest = self._commit(draft, files)
            failpoint(Point.PUBLISH_BEFORE)
            self._publish(edited, knowledge, manifest.version)
            failpoint(Point.PUBLISH_AFTER)
        except (StaleEpoch, VersionExists):
            raise
        except Exception as error:
            committed = self._committed_all_the_same(draft)
            if committed is None:
                raise
            logger.warning("read from the log, since publishing failed: %r", error, extra={"job_id": draft.job})
            return committed
        return manifest

    def _commit(self, draft: Draft, files: Mapping[str, bytes]) -> Manifest:
        """The version, committed.

        Raises:
            VersionExists: an earlier leader was quicker, with the same job; what is here is not what it committed.
            EditError: as ``EditLog.commit`` says.
        """
        manifest = self.log.commit(draft, files)
        if manifest.epoch != draft.epoch:
            raise VersionExists(f"an earlier leader committed job {draft.job}", value=manifest.version)
        return manifest

    def _committed_all_the_same(self, draft: Draft) -> Manifest | None:
        """The draft's version, in service as a restart would have it; None if it was not committed.

        Raises:
            VersionExists: that cannot be told, or not be done: only a restart helps.
        """
        try:
            if (committed := self.log.find_job(str(draft.job))) is not None:
                self._catch_up()
        except Exception as error:
            detail = f"version {draft.version} may be committed, and cannot be put in service: {error}"
            raise VersionExists(detail, value=draft.version) from error
        return committed

    def _catch_up(self) -> None:
        """Bring the model to the log's head, as its leader."""
        self.follow()
        self._trail.forget()
        self._snapshots.jumped(self.live, self.version)
