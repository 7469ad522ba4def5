"""Curves of a run: how facts stand, and what other text suffers, as their number grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from workers.experiments.report import Found
from workers.experiments.run_folder import Checkpoint
from workers.experiments.summary import Part

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

SCORES, DRIFT = "scores.svg", "drift.svg"


def draw(found: Found, folder: Path) -> tuple[str, ...]:
    """Write the pictures that more than one checkpoint makes, and return their names.

    There are none where matplotlib, of the extra ``experiments``, is not installed.
    """
    if len(found.checkpoints) < 2:  # noqa: PLR2004 - a line has two ends
        return ()
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return ()
    names = []
    for name, draws in ((SCORES, _scores), (DRIFT, _drift)):
        if name == DRIFT and found.last.drift is None:
            continue
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        draws(axes, found)
        axes.set_xlabel("facts edited")
        axes.grid(visible=True, alpha=0.3)
        figure.savefig(folder / name)
        names.append(name)
    return tuple(names)


def _scores(axes: Axes, found: Found) -> None:
    kinds: Sequence[tuple[str, Callable[[Checkpoint], Part | None], Part | None]] = (
        ("efficacy", lambda each: each.summary.efficacy, None),
        ("efficacy of the first batch", lambda each: each.first.efficacy, None),
        ("generalisation", lambda each: each.summary.generalisation, None),
        ("specificity", lambda each: each.summary.specificity, found.before.specificity),
    )
    counts = [each.facts for each in found.checkpoints]
    for number, (title, part_of, before) in enumerate(kinds):
        parts = [part_of(each) for each in found.checkpoints]
        known = [(count, part.success or part.tokens) for count, part in zip(counts, parts, strict=True) if part]
        if not known:
            continue
        (line,) = axes.plot(
            [count for count, _ in known],
            [100 * share.mean for _, share in known],
            marker="os^D"[number],
            linestyle="--" if "first" in title else "-",
            label=title,
        )
        low, high = ([100 * getattr(share, side) for _, share in known] for side in ("low", "high"))
        axes.fill_between([count for count, _ in known], low, high, alpha=0.12, color=line.get_color(), linewidth=0)
        if before is not None:
            share = before.success or before.tokens
            axes.axhline(100 * share.mean, color=line.get_color(), linestyle=":", label=f"{title}, unedited")
    axes.set_ylabel("share, %")
    axes.set_ylim(0, 102)
    axes.legend(loc="lower left", fontsize="small")


def _drift(axes: Axes, found: Found) -> None:
    known = [(each.facts, each.drift) for each in found.checkpoints if each.drift is not None]
    counts = [count for count, _ in known]
    axes.plot(counts, [drift.kl for _, drift in known], marker="o", label="KL to the unedited model, nats a token")
    axes.plot(
        counts, [drift.perplexity for _, drift in known], marker="s", label="perplexity, times the unedited model's"
    )
    axes.plot(counts, [1 - drift.top1 for _, drift in known], marker="^", label="likeliest tokens that changed, share")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("text that nothing was taught of")
    axes.legend(fontsize="small")
