"""Abilities as a table, and as curves over the number of facts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from workers.experiments.abilities import Ability
from workers.experiments.ability_looks import AbilityLook, Figure
from workers.experiments.report import NONE, markdown
from workers.experiments.summary import Z

FIGURE = "abilities.svg"


def table(found: Sequence[AbilityLook]) -> str:
    """A row a model, a column a task's metric, in Markdown; and what the figures are."""
    figures = _figures(found)
    rows = [(each.title, *_cells(each, figures)) for each in found]
    head = ("", *(", ".join(figure) for figure in figures))
    made: dict[str, list[str]] = {}
    for name, ability in {name: ability for each in found for name, ability in each.asked.items()}.items():
        made.setdefault(_made(ability), []).append(name)
    by = "; ".join(f"{how}: {', '.join(names)}" for how, names in made.items())
    return f"General abilities\n\n{markdown(head, rows)}\n\nBy {by}. ± 1.96 standard errors over questions."


def as_json(found: Sequence[AbilityLook]) -> str:
    """All figures, those of parts too."""
    return json.dumps([each.model_dump(mode="json") for each in found], indent=2) + "\n"


def draw(found: Sequence[AbilityLook], folder: Path) -> tuple[str, ...]:
    """Write the curves over the number of facts, a panel a metric, and return the picture's name; nothing for fewer
    than two looks, or where matplotlib, of the extra ``experiments``, is not installed."""
    if len(found) < 2:  # noqa: PLR2004 - a line has two ends
        return ()
    try:
        from matplotlib.figure import Figure as Picture
    except ImportError:
        return ()
    figures = _figures(found)
    metrics = list(dict.fromkeys(metric for _, metric in figures))
    picture = Picture(figsize=(7, 3.5 * len(metrics)), layout="constrained")
    panels = picture.subplots(len(metrics), squeeze=False)[:, 0]
    for panel, metric in zip(panels, metrics, strict=True):
        for figure in (each for each in figures if each[1] == metric):
            known = [(each.facts, each.scores()[figure]) for each in found if figure in each.scores()]
            counts, errors = [count for count, _ in known], [Z * (score.error or 0.0) for _, score in known]
            panel.errorbar(counts, [score.value for _, score in known], errors, marker="o", capsize=3, label=figure[0])
        panel.set_ylabel(metric)
        panel.set_xlabel("facts edited")
        panel.grid(visible=True, alpha=0.3)
        panel.legend(fontsize="small")
    picture.savefig(folder / FIGURE)
    return (FIGURE,)


def _figures(found: Sequence[AbilityLook]) -> list[Figure]:
    return list(dict.fromkeys(figure for each in found for figure in each.scores()))


def _cells(look: AbilityLook, figures: Sequence[Figure]) -> Iterator[str]:
    scores = look.scores()
    for figure in figures:
        score = scores.get(figure)
        error = "" if score is None or score.error is None else f" ± {Z * score.error:.3f}"
        yield NONE if score is None else f"{score.value:.3f}{error}"


def _made(ability: Ability) -> str:
    least = "" if ability.limit is None else f", the first {ability.limit} questions of each task"
    return f"lm-evaluation-harness {ability.harness}{least}"
