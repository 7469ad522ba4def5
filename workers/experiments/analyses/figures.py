"""The paper's figures, of an analysis that is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from workers.experiments.analyses.analysis import Analysis
from workers.experiments.analyses.bound import Bound, Point
from workers.experiments.analyses.contribution import Contributions
from workers.experiments.analyses.residuals import Kind
from workers.experiments.analyses.shift import Shift
from workers.experiments.analyses.similarity import Similarity
from workers.experiments.analyses.single_layer import COMPARED, SingleLayer
from workers.experiments.analyses.steps import Steps
from workers.experiments.summary import Part, Share, Summary

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    Kind.COMPUTED: "computed at the layer",
    Kind.EVEN: "last layer's, evenly spread",
    Kind.SQRT: "last layer's, by square roots",
}
STYLES = {
    Kind.COMPUTED: ("o", "-", "tab:blue"),
    Kind.EVEN: ("s", "--", "tab:orange"),
    Kind.SQRT: ("^", ":", "tab:green"),
}

Draw = Callable[["Figure"], None]


def draw(found: Analysis, folder: Path) -> tuple[str, ...]:
    """Write one picture a section, and return their names; none where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return ()
    names = []
    for name, (width, height), draws in _pictures(found):
        figure = Figure(figsize=(width, height), layout="constrained")
        draws(figure)
        figure.savefig(folder / name)
        names.append(name)
    return tuple(names)


def _pictures(found: Analysis) -> list[tuple[str, tuple[float, float], Draw]]:
    """Of a whole analysis: name, size in inches, and what draws it."""
    contributions, similarity, single, steps, bound, shift = (
        found.contributions,
        found.similarity,
        found.single_layer,
        found.steps,
        found.bound,
        found.shift,
    )
    assert contributions is not None
    assert similarity is not None
    assert single is not None
    assert steps is not None
    assert bound is not None
    assert shift is not None
    return [
        ("contribution.svg", (6, 4), lambda figure: _contributions(figure, contributions)),
        ("similarity.svg", (10, 4), lambda figure: _similarity(figure, similarity)),
        ("single_layer.svg", (12, 4), lambda figure: _single_layer(figure, single)),
        ("steps.svg", (6, 4), lambda figure: _steps(figure, steps)),
        ("bound.svg", (12, 4), lambda figure: _bound(figure, bound)),
        ("shift.svg", (10, 4.6), lambda figure: _shift(figure, shift)),
    ]


def _contributions(figure: Figure, found: Contributions) -> None:
    axes = figure.subplots()
    for kind in Kind:
        _line(axes, found.means(kind), kind)
    _layers(axes, found.scores[Kind.EVEN])
    axes.set_ylabel("contribution score of a simulated edit")
    axes.set_ylim(-0.03, 1.03)
    axes.set_title("One layer's residual alone")
    axes.legend()


def _similarity(figure: Figure, found: Similarity) -> None:
    left, right = figure.subplots(1, 2)
    left.plot(*_xy(found.mean_cosines), marker="o")
    left.set_ylabel("mean cosine to the computed residual")
    left.set_title("Direction of the spread residual")
    right.plot(*_xy(found.mean_distances), marker="o", label="a fact, mean")
    right.plot(*_xy(found.spectral), marker="s", linestyle="--", label="all facts' matrix, spectral")
    right.set_ylabel(r"$\Vert R^*_l - R_L\Vert$")
    right.set_title("Distance to the last layer's residual")
    right.set_ylim(bottom=0)
    right.legend()
    for axes in (left, right):
        _layers(axes, found.distances)


def _single_layer(figure: Figure, found: SingleLayer) -> None:
    parts: Sequence[tuple[str, Callable[[Summary], Part | None]]] = (
        ("efficacy", lambda each: each.efficacy),
        ("generalisation", lambda each: each.generalisation),
        ("specificity", lambda each: each.specificity),
    )
    panels = figure.subplots(1, len(parts), sharey=True)
    for axes, (title, part_of) in zip(panels, parts, strict=True):
        for kind in COMPARED:
            shares = {layer: share for layer, each in found.edited[kind].items() if (share := _share(part_of(each)))}
            _line(axes, {layer: 100 * share.mean for layer, share in shares.items()}, kind)
            low, high = ([100 * getattr(share, side) for share in shares.values()] for side in ("low", "high"))
            axes.fill_between(list(shares), low, high, alpha=0.12, color=STYLES[kind][2], linewidth=0)
        if (before := _share(part_of(found.unedited))) is not None:
            axes.axhline(100 * before.mean, color="gray", linestyle=":", label="unedited")
        axes.set_title(title)
        axes.set_ylim(-2, 102)
        _layers(axes, found.edited[Kind.EVEN], "edited layer")
    panels[0].set_ylabel("share, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)


def _steps(figure: Figure, found: Steps) -> None:
    axes = figure.subplots()
    axes.plot(*_xy(found.means), marker="o", label="earlier critical layers written")
    unedited = {layer: sum(taken) / len(taken) for layer, taken in found.unedited.items()}
    axes.plot(*_xy(unedited), marker="s", linestyle="--", label="unedited model")
    axes.axhline(found.most, color="gray", linestyle=":", label="at most")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("optimisation steps, mean over facts")
    _layers(axes, found.means)
    axes.legend()


def _bound(figure: Figure, found: Bound) -> None:
    panels = figure.subplots(1, 3)
    whole = max(point.facts for point in found.by_size)
    first = min(point.layer for point in found.by_size)
    sets: Sequence[tuple[str, str, Sequence[Point]]] = (
        (
            "distance",
            f"critical layers to the last one ({whole} facts)",
            [p for p in found.by_size if p.facts == whole],
        ),
        ("facts", f"facts in the batch (layer {first})", [p for p in found.by_size if p.layer == first]),
        ("previous", f"facts edited before (layer {first})", [p for p in found.by_place if p.layer == first]),
    )
    for axes, (along, label, points) in zip(panels, sets, strict=True):
        x = [getattr(point, along) for point in points]
        axes.plot(x, [point.bound for point in points], marker="s", linestyle="--", label="bound of one shift")
        axes.plot(x, [point.error for point in points], marker="o", label="error of one shift")
        if along == "previous":
            axes.plot(x, [point.total for point in points], marker="^", linestyle=":", label="error of all so far")
        axes.set_xlabel(label)
        if along == "facts":
            axes.set_xscale("log")
            axes.minorticks_off()
        axes.set_xticks(x, [str(each) for each in x])
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="small")
    panels[0].set_ylabel("spectral norm of weights")


def _shift(figure: Figure, found: Shift) -> None:
    panels = figure.subplots(1, len(found.moved), sharex=True, sharey=True)
    for axes, (plan, moved) in zip(panels, found.moved.items(), strict=True):
        for name, marker, colour in (("unedited", "o", "tab:gray"), (plan, "x", "tab:red")):
            x, y = zip(*found.plane.points[name], strict=True)
            axes.scatter(x, y, s=16, marker=marker, color=colour, alpha=0.7, label=name)
        axes.set_title(
            f"plan {plan}: states move by {moved.states:.1%}, their centre by {moved.centre:.1%}", fontsize=10
        )
        axes.legend()
        axes.set_xticks([])
        axes.set_yticks([])
    figure.supxlabel(
        f"{found.plane.way} of states after layer {found.layer}, {found.prompts} other prompts", fontsize=10
    )


def _line(axes: Axes, figures: Mapping[int, float], kind: Kind) -> None:
    marker, style, colour = STYLES[kind]
    axes.plot(*_xy(figures), marker=marker, linestyle=style, color=colour, label=TITLES[kind])


def _layers(axes: Axes, by_layer: Mapping[int, object], label: str = "layer") -> None:
    axes.set_xticks(list(by_layer))
    axes.set_xlabel(label)
    axes.grid(visible=True, alpha=0.3)


def _xy(figures: Mapping[int, float]) -> tuple[list[int], list[float]]:
    return list(figures), list(figures.values())


def _share(part: Part | None) -> Share | None:
    return None if part is None else part.success or part.tokens
