"""The card of a model that was onboarded: what it is, what was tried, what was chosen, what that promises."""

from __future__ import annotations

from collections.abc import Sequence

from workers.editing.presets.preset import Preset
from workers.onboarding.inspection import Finding
from workers.onboarding.search import AXES, Tried
from workers.onboarding.trial import Outcome
from workers.onboarding.where import Choice

MEANING = (
    "A fact holds, and a paraphrase follows, if greedy decoding gives the whole new object. A neighbour stays if its "
    "own answer is likelier than the new object (mean NLL a token). Fluency is the n-gram entropy of greedy texts "
    "about the edited subjects, as a share of the unedited model's. The score is the harmonic mean of the four."
)


def card(
    name: str,
    findings: Sequence[Finding],
    statistics: str,
    before: Outcome,
    tried: Sequence[Tried],
    chosen: Preset,
    promise: Outcome,
    facts: tuple[int, int],
    choices: Sequence[Choice] = (),
) -> str:
    """The card as Markdown.

    before: of the unedited model, and promise: under the chosen preset, both on facts that the search has not seen.
    facts: how many were searched with, and how many the promise is measured on. choices: of layers, where the model was
        traced.
    """
    searched, promised = facts
    found = [f"| {finding.name} | {finding.value} |" for finding in findings]
    return "\n".join(
        [
            f"# {name}",
            "",
            "| found | |",
            "|---|---|",
            *found,
            f"| statistics | {statistics} |",
            "",
            f"## What it promises, on {promised} facts about the world that the search has not seen",
            "",
            "| | unedited | edited |",
            "|---|---|---|",
            f"| facts that hold | {before.hold:.0%} | {promise.hold:.0%} |",
            f"| paraphrases that follow | {before.paraphrases:.0%} | {promise.paraphrases:.0%} |",
            f"| known neighbours that stay | {before.neighbours:.0%} | {promise.neighbours:.0%} |",
            f"| fluency | {before.fluency:.0%} | {promise.fluency:.0%} |",
            f"| seconds a fact | | {promise.seconds:.2f} |",
            "",
            MEANING,
            "",
            "## What was chosen",
            "",
            f"{chosen.method}: " + ", ".join(f"{name} {getattr(chosen, name)}" for name in ("layers", *AXES)),
            "",
            *_where(choices),
            f"## What was tried, on {searched} facts",
            "",
            "| layers | " + " | ".join(AXES) + " | hold | paraphrases | neighbours | fluency | score | s a fact |",
            "|---" * (len(AXES) + 7) + "|",
            *(_row(each) for each in tried),
            "",
        ]
    )


def _where(choices: Sequence[Choice]) -> list[str]:
    """Layers by tracing and by search, with the harmonic mean of each, and which were taken."""
    if not choices:
        return []
    rows = [
        f"| {each.by} | {_listed(each.layers)} | {_score(each.began)} | {_score(each.best)} | {_score(each.unseen)} | "
        f"{'taken' if each.taken else ''} |"
        for each in choices
    ]
    return [
        "## Where to edit",
        "",
        "| by | layers | score as the search begins | best score | score on unseen facts, all else as chosen | |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _score(outcome: Outcome | None) -> str:
    return "not tried" if outcome is None else f"{outcome.score:.3f}"


def _row(tried: Tried) -> str:
    values = [_listed(tried.values["layers"]), *(str(tried.values[name]) for name in AXES)]
    if (outcome := tried.outcome) is None:
        shares = ["could not be edited", *[""] * 5]
    else:
        counted = (outcome.hold, outcome.paraphrases, outcome.neighbours, outcome.fluency)
        shares = [f"{share:.0%}" for share in counted]
        shares += [f"{outcome.score:.3f}", f"{outcome.seconds:.2f}"]
    return "| " + " | ".join([*values, *shares]) + " |"


def _listed(layers: Sequence[int]) -> str:
    return ", ".join(map(str, layers))
