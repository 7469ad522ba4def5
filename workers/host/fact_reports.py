"""What became of each fact of a batch, and why one does not hold: the same for a job and for `palimpsest apply`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from app.domain.contract import Attempt as Tried
from app.domain.contract import FactReport
from app.domain.manifest import LoggedFact
from workers.editing.efforts import AS_PRESET
from workers.editing.methods import find_method
from workers.editing.presets.preset import Preset
from workers.editing.types import Fact
from workers.evaluation.batch_report import Measurement, compare
from workers.host.attempts import Attempt
from workers.host.unheld import Settled, Try
from workers.versions.logged_facts import as_facts

FOUND = 0.5
"""A target with a loss above this is not found: the object's tokens would have three fifths of the probability."""

REALISED = 0.5
"""A solve that realises less than this share of a fact is the reason for it."""


def fact_reports(
    settled: Settled, preset: Preset, facts: Sequence[LoggedFact], before: Measurement, after: Measurement
) -> tuple[FactReport, ...]:
    """A report a fact, in the order of the batch as it was sent. ``after``: as the last attempt left the shadow."""
    rows = compare(facts, before, after)
    return tuple(_completed(row, settled, preset, fact) for row, fact in zip(rows, as_facts(facts), strict=True))


def unwritten(reports: Sequence[FactReport]) -> tuple[FactReport, ...]:
    """The same of a batch that is rejected: nothing of it is written, though some of it held on the shadow."""
    return tuple(report.model_copy(update={"written": False, "version_index": None}) for report in reports)


def _completed(row: FactReport, settled: Settled, preset: Preset, fact: Fact) -> FactReport:
    attempt, tried = settled.attempt, settled.tried[row.index]
    member = row.index in attempt.members
    holds = attempt.holds(row.index)
    last = attempt if holds else tried[-1].attempt  # of one that does not hold, the last that was tried
    more = len(tried) > 1 or not holds
    return row.model_copy(
        update={
            "holds": holds,
            "written": member,
            "version_index": attempt.members.index(row.index) if member else None,
            "loss": _loss(last, fact),
            "share": _shares(last, row.index),
            "warnings": last.edited.warnings[last.members.index(row.index)],
            "tried": tuple(_told(each, preset, fact, row.index) for each in tried) if more else (),
            "why": None if holds else _why(last, fact, row.index),
        }
    )


def _told(each: Try, preset: Preset, fact: Fact, index: int) -> Tried:
    given, tunes = each.effort.of(preset), find_method(preset.method).tune is not None
    return Tried(
        steps=given.num_steps if tunes else given.v_num_grad_steps,
        rate=given.lr if tunes else given.v_lr,
        clamp=given.norm_constraint if tunes else given.clamp_norm_factor,
        weight=each.effort.weight,
        loss=_loss(each.attempt, fact),
        rank=each.attempt.standings[index].rank,
        share=_shares(each.attempt, index),
    )


def _loss(attempt: Attempt, fact: Fact) -> float | None:
    """That of the target that the last layer was solved for."""
    for members, found in attempt.edited.found.items():
        if fact in members and found.losses:
            loss = found.losses[max(found.losses)][members.index(fact)]
            return loss if math.isfinite(loss) else None
    return None


def _shares(attempt: Attempt, index: int) -> dict[int, float]:
    column = attempt.edited.columns[attempt.members.index(index)]
    return {layer: shares[column] for layer, shares in attempt.edited.shares.items()}


def _why(attempt: Attempt, fact: Fact, index: int) -> str:
    """One sentence, from what its last attempt came to. It has no text of the fact."""
    loss, shares = _loss(attempt, fact), _shares(attempt, index)
    spent = attempt.efforts.get(fact, AS_PRESET) != AS_PRESET
    tries = ", also with more steps, a wider bound and more weight" if spent else ""
    if loss is None:
        return f"tuning did not make its object the likeliest{tries}"
    if loss > FOUND:
        return f"no target was found for it: the loss of its object stayed at {loss:.2f}{tries}"
    least = min(shares, key=lambda layer: shares[layer], default=None)
    if least is not None and shares[least] < REALISED:
        return f"its target was found (loss {loss:.2f}), but layer {least} realises {shares[least]:.0%} of it{tries}"
    return (
        f"its target was found (loss {loss:.2f}) and realised, and yet its bare prompt goes on otherwise: "
        f"other facts of the batch, or the prompt's other contexts, outweigh it{tries}"
    )
