"""The page of an analysis: what was analysed, each finding of the paper with its verdict, and the figures."""

from __future__ import annotations

from collections.abc import Sequence

from workers.experiments.analyses.analysis import Analysis
from workers.experiments.analyses.findings import Verdict, findings
from workers.experiments.report import markdown


def as_page(found: Analysis, figures: Sequence[str]) -> str:
    """In Markdown, of an analysis that is done. figures: names of pictures beside it."""
    told = findings(found)
    count = {verdict: sum(each.verdict is verdict for each in told) for verdict in Verdict}
    summed = (
        f"Of {len(told)} findings of the paper {count[Verdict.HOLDS]} hold here, {count[Verdict.PARTLY]} in part, and "
        f"{count[Verdict.FAILS]} do not."
    )
    rows = [(each.where, each.claim, f"**{each.verdict}**", each.here) for each in told]
    parts = [
        f"# Residual distribution in {found.asked.model}",
        f"{_setting(found)} {summed}",
        markdown(("in the paper", "what it finds", "here", "by layer, or as said"), rows),
        *(f"![{name}]({name})" for name in figures),
        _made_of(found),
    ]
    return "\n\n".join(parts) + "\n"


def _setting(found: Analysis) -> str:
    setting, asked = found.setting, found.asked
    assert setting is not None
    given = setting.hyperparameters
    share = given["share"]
    ridge = f"λ {given['mom2_update_weight']:g}" if share is None else f"λ for a share of {share:g}"
    layers = ", ".join(map(str, setting.layers))
    return (
        f"MEMIT over {setting.facts} facts of {asked.dataset}, edited in batches of {asked.batch}; critical layers "
        f"{layers}, {ridge}, at most {given['v_num_grad_steps'] - 1} optimisation steps."
    )


def _made_of(found: Analysis) -> str:
    setting = found.setting
    assert setting is not None
    seconds = ", ".join(f"{name.replace('_', ' ')} {taken:.0f} s" for name, taken in found.seconds.items())
    return (
        "Means are over facts. A finding holds in part where it does at some of its places, or between the first and "
        "the last. All figures: `analysis.json`.\n"
        f"Passed over: {setting.unusable} records that cannot be used, {setting.sharing} with the key of an earlier "
        f"one. Data: SHA-256 {found.asked.digest[:16]}….\n"
        f"Machine: {setting.machine}. Time: {seconds}."
    )
