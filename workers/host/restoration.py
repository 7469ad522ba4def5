"""A rollback or a revert on its way to becoming a version: put together and measured on a shadow, until committed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from app.domain.contract import InForceReport, Progress, Revert, Rollback
from app.domain.failpoints import Point, failpoint
from app.domain.history.lineage import HeldFact
from app.domain.log.reader import LogReader
from app.domain.manifest import Draft, LoggedFact
from workers.editing.knowledge import KnowledgeBase
from workers.editing.methods import prune
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.updates import LowRank, WeightUpdate
from workers.editing.types import empty_keys
from workers.evaluation.batch_report import compare, measure, share
from workers.host.candidate import Candidate
from workers.host.turn import NextVersion
from workers.steps import Steps
from workers.versions.replay import norms_between, state_at
from workers.versions.update_files import UPDATE_FILE, pack, unpack
from workers.versions.version_state import VersionState

MOST_LOST = 100
"""At most so many facts are listed as lost in a report."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A rollback or revert as computed: ``shadow`` has the new version's weights, ``files`` its own tensors, if any."""

    change: Rollback | Revert
    shadow: EditableModel
    knowledge: KnowledgeBase
    files: Mapping[str, bytes]
    report: InForceReport

    def candidate(self, upcoming: NextVersion) -> Candidate:
        """The version to be committed."""
        to = self.change.to if isinstance(self.change, Rollback) else None
        draft = Draft(
            version=upcoming.version,
            kind="revert" if to is None else "rollback",
            job=upcoming.job_id,
            by=upcoming.by,
            to=to,
            reverted=self.change.facts if isinstance(self.change, Revert) else (),
            in_force=self.report,
            epoch=upcoming.epoch,
        )
        return Candidate(self.shadow, self.knowledge, draft, self.files)


def restore(live: EditableModel, log: LogReader, change: Rollback | Revert, steps: Steps) -> Restored:
    """Put the version's weights together from the log, and measure every fact in force, before and after.

    Raises:
        UnknownVersion, UnknownFact, InseparableFacts, CompactedVersion: it cannot be done.
        DamagedVersion: a version does not have the bytes that were committed. Whatever ``steps`` raises.
    """
    start = time.monotonic()
    failpoint(Point.RESTORE_BEFORE)
    state, facts, files = _put_together(live, log, change)
    steps.tell(Progress(stage="solve", share=0.5))
    steps.check()
    shadow = live.shadow(live.masters.keys() | state.masters.keys())
    before, weights = measure(shadow, facts), _applied(shadow)
    steps.tell(Progress(stage="verify", share=0.75))
    steps.check()
    failpoint(Point.VERIFY_BEFORE)
    state.put_on(shadow)
    reports = compare(facts, before, measure(shadow, facts, before, ends=False))
    lost = [report for report in reports if report.before.rank == 1 and not report.holds]
    report = InForceReport(
        facts=len(facts),
        facts_hold=share([report.holds for report in reports]),
        held_before=share([report.before.rank == 1 for report in reports]),
        lost=tuple(lost[:MOST_LOST]),
        update_norms=norms_between(weights, _applied(shadow)),
        seconds=round(time.monotonic() - start, 3),
    )
    return Restored(change, shadow, state.knowledge, files, report)


def _put_together(
    live: EditableModel, log: LogReader, change: Rollback | Revert
) -> tuple[VersionState, list[LoggedFact], dict[str, bytes]]:
    """The new version, the facts in force in it, and the tensors that it brings."""
    if isinstance(change, Rollback):
        held = log.history(change.to).facts(change.to)
        return state_at(live, log, log.replay(change.to)), [_alone(each) for each in held], {}
    state, files = state_at(live, log, log.replay_without(change.facts)), {}
    if updates := renewed_corrections(live, state):
        files[UPDATE_FILE] = pack(updates)
        for update in unpack(files[UPDATE_FILE], live.device_at):  # as a restart will read them
            state = state.with_update(update, live.base(update.layer))
    return state, [_alone(each) for each in log.facts_without(change.facts)], files


def renewed_corrections(live: EditableModel, state: VersionState) -> list[WeightUpdate]:
    """New corrections, by PRUNE's formula, for layers whose sum of updates has lost columns.

    Of rank 0 where no edit by PRUNE is left in force. A layer whose correction does not change is left out.
    """
    updates = []
    for layer, standing in state.corrections.items():
        base = live.base(layer)
        if layer in state.restrained:
            sum_ = state.restrained[layer]
            fresh = prune.correction(sum_ - base, base, sum_.dtype)
        else:
            fresh = LowRank(base.new_zeros(len(base), 0), base.new_zeros(0, base.shape[1]))
        if not _same(fresh, standing):
            none = base.new_zeros(len(base), 0), base.new_zeros(0, base.shape[1])
            keys = empty_keys(base.shape[1], base.device)
            updates.append(WeightUpdate(layer, *none, keys, correction=fresh))
    return updates


def _applied(editable: EditableModel) -> dict[int, Tensor]:
    return {layer: editable.weights(layer).applied for layer in editable.masters}


def _alone(held: HeldFact) -> LoggedFact:
    """The fact without its paraphrases and neighbours."""
    return held.fact.model_copy(update={"paraphrases": (), "taught": (), "neighbours": ()})


def _same(one: LowRank, other: LowRank) -> bool:
    return torch.equal(one.left.float(), other.left.float()) and torch.equal(one.right.float(), other.right.float())
