"""A live model whose host may lead the edit log: it commits versions, and puts them in service."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from app.domain.contract import EditBatch, JobOutcome, Progress
from app.domain.errors import TooManyProposals, VersionExists
from app.domain.failpoints import Point, failpoint
from app.domain.log.edit_log import EditLog
from app.domain.log.proposed_version import ProposedVersion
from app.domain.log_form import described
from app.domain.manifest import Draft, Manifest
from workers.editing.model.editable_model import EditableModel
from workers.host.candidate import Candidate
from workers.host.host_settings import HostSettings
from workers.host.live_host import LiveHost
from workers.host.turn import NextVersion, Turn
from workers.steps import Steps
from workers.versions.replay import state_at
from workers.versions.snapshots import Snapshots

logger = logging.getLogger(__name__)


class LeadingHost(LiveHost):
    """One model in memory; leads its edit log, or follows it, on one thread."""

    def __init__(self, settings: HostSettings, live: EditableModel, edit_log: EditLog) -> None:
        super().__init__(settings.name, live, edit_log, settings.earlier_versions)
        self.settings, self.epoch = settings, 0
        self._snapshots = Snapshots(edit_log, settings.snapshot_every)
        self._leadership = ExitStack()
        self._on_commit: Callable[[float, int], None] | None = None

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
            self._catch_up(epoch)
            self._leadership, self.epoch = stack.pop_all(), epoch
            self._clear_proposals()

    def check_lead(self) -> None:
        """Return if nobody has taken over.

        Raises:
            StaleEpoch: somebody has.
        """
        self.log.check_lead(self.epoch)

    # --- committing --------------------------------------------------------------------------

    def watch_commits(self, watch: Callable[[float, int], None]) -> None:
        """Have every commit reported: the seconds that it took, and the bytes of its tensors and keys."""
        self._on_commit = watch

    def committed(self, job_id: str) -> JobOutcome | None:
        """What became of a job, if it has committed a version or made a proposal.

        Raises:
            VersionExists: an earlier leader committed it, after this one was brought to the log's head.
        """
        if (done := self.log.find_job(job_id)) is None:
            return self._proposed(job_id)
        if done.version > self.version:
            raise VersionExists(f"an earlier leader committed job {job_id}", value=done.version)
        return done.outcome

    def next_version(self, turn: Turn, proposal: str | None = None) -> NextVersion:
        """What the job becomes if it is committed now. ``proposal``: the one that it publishes, if it does."""
        return NextVersion(turn.job_id, self.version + 1, self.epoch, turn.by, proposal)

    def serve(self, candidate: Candidate, steps: Steps) -> JobOutcome:
        """Commit a version and put it in service; the outcome of its job.

        Raises:
            VersionExists: another leader has committed this job or this version. PalimpsestError: as ``EditLog.commit``
                does. Whatever ``steps`` raises. After any error ``committed_after_all`` says if it is committed.
        """
        steps.check()
        steps.tell(Progress(stage="commit", share=0.98))
        failpoint(Point.COMMIT_BEFORE)
        manifest = self._commit(candidate.draft, candidate.files)
        failpoint(Point.PUBLISH_BEFORE)
        self._publish(candidate.shadow, candidate.knowledge, manifest.version)
        failpoint(Point.PUBLISH_AFTER)
        steps.tell(Progress(stage="publish", share=1.0))
        if manifest.kind == "edit":
            self._snapshots.stepped(self.live, self.version, self.epoch)
        else:
            self._snapshots.jumped(self.live, self.version, self.epoch)
        logger.info("published", extra={"job_id": manifest.job, "model": self.name, "version": self.version})
        return manifest.outcome

    def committed_after_all(self, job_id: str) -> JobOutcome | None:
        """The outcome of a job that raised an error, if the log has what it made all the same; None if it has not.

        A version is then in service, put together from the log as after a restart.

        Raises:
            VersionExists: the log cannot be read, or the version not be put in service: only a restart helps.
        """
        try:
            if (committed := self.log.find_job(job_id)) is None:
                return self._proposed(job_id)
            self._catch_up(self.epoch)
        except Exception as error:  # the job's edge: this worker may now serve another version than the log's head
            detail = f"job {job_id} may be committed, and its version cannot be put in service: {described(error)}"
            raise VersionExists(detail, value=job_id) from error
        return committed.outcome

    # --- proposals ---------------------------------------------------------------------------

    def refuse_too_many(self) -> None:
        """Return if one more proposal may wait.

        Raises:
            TooManyProposals: as many wait as may.
        """
        waiting = len(self.log.proposals.numbers()) - len(self.log.proposals.over())
        if waiting >= self.settings.max_proposals:
            detail = f"{waiting} proposals of {self.name} wait to be published or dropped"
            raise TooManyProposals(detail, field="propose", value=waiting)

    def keep(self, candidate: Candidate, batch: EditBatch, by: str | None, steps: Steps) -> JobOutcome:
        """Keep a version as a proposal, and not put it in service; the outcome of its job.

        Raises:
            PalimpsestError: as ``EditLog.propose`` does. Whatever ``steps`` raises.
        """
        steps.check()
        steps.tell(Progress(stage="commit", share=0.98))
        self._clear_proposals()
        failpoint(Point.COMMIT_BEFORE)
        expires = datetime.now(UTC) + timedelta(seconds=self.settings.proposal_ttl_s)
        page = self.log.propose(candidate.draft, candidate.files, batch, expires, by)
        logger.info("proposed: %s", page.id, extra={"job_id": page.draft.job, "model": self.name})
        return page.outcome

    def kept(self, proposal: ProposedVersion, upcoming: NextVersion) -> Candidate:
        """A proposal that was computed on the version in service, as it was kept: to be committed byte for byte.

        Raises:
            UnknownProposal: it was dropped meanwhile. DamagedVersion: it does not have the bytes that were written.
        """
        page = proposal.page
        state = state_at(self.live, proposal, proposal.replay())
        shadow = self.live.shadow(self.live.masters.keys() | state.masters.keys())
        state.put_on(shadow)
        own = {
            "job": upcoming.job_id,
            "epoch": upcoming.epoch,
            "proposal": upcoming.proposal,
            "approved_by": upcoming.approved_by,
        }
        files = {name: self.log.proposals.file(page, name) for name in page.files}
        return Candidate(shadow, state.knowledge, page.draft.model_copy(update=own), files)

    def discard(self, proposal: str) -> None:
        """Remove a proposal that nobody can publish any more. If it cannot be removed, the next leader does."""
        try:
            self.log.drop(proposal, self.epoch)
        except Exception:  # it is over, and told so: no failure here may count as a job's
            logger.exception("%s is over, and lies there still", proposal, extra={"model": self.name})

    def _proposed(self, job_id: str) -> JobOutcome | None:
        page = self.log.proposals.of_job(job_id)
        return None if page is None else page.outcome

    def _clear_proposals(self) -> None:
        """Remove the proposals that were published or have expired."""
        for proposal in self.log.proposals.over():
            self.discard(proposal)

    # --- the log -----------------------------------------------------------------------------

    def _commit(self, draft: Draft, files: Mapping[str, bytes]) -> Manifest:
        """The version, committed.

        Raises:
            VersionExists: an earlier leader has committed this job, and its version may differ from this draft.
            PalimpsestError: as ``EditLog.commit`` says.
        """
        started = time.perf_counter()
        manifest = self.log.commit(draft, files)
        if self._on_commit is not None:
            self._on_commit(time.perf_counter() - started, sum(map(len, files.values())))
        if manifest.epoch != draft.epoch:
            raise VersionExists(f"an earlier leader committed job {draft.job}", value=manifest.version)
        return manifest

    def _catch_up(self, epoch: int) -> None:
        """Bring the model to the log's head, as its leader."""
        self.follow()
        self._trail.forget()
        self._snapshots.jumped(self.live, self.version, epoch)
