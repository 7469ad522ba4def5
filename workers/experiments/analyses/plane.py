"""States in a plane, to be looked at: t-SNE where scikit-learn is installed, else principal components."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import torch
from torch import Tensor

from workers.experiments.answers import Kept

PERPLEXITY = 30.0
"""Of t-SNE, where there are states enough: it must be below their number."""


class Plane(Kept):
    """points: by name of a set of states, two coordinates of each. way: how they were found."""

    way: str
    points: Mapping[str, tuple[tuple[float, float], ...]]


def plane_of(states: Mapping[str, Tensor], seed: int) -> Plane:
    """All sets, each (n, d), in one plane."""
    every = torch.cat(list(states.values()))
    way, found = _t_sne(every, seed)
    rows = iter(found.tolist())
    points = {name: tuple((x, y) for x, y in islice(rows, len(each))) for name, each in states.items()}
    return Plane(way=way, points=points)


def _t_sne(states: Tensor, seed: int) -> tuple[str, Tensor]:
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        return "principal components", principal(states)
    perplexity = min(PERPLEXITY, (len(states) - 1) / 3)
    made = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(states.numpy())
    return "t-SNE", torch.from_numpy(made).double()


def principal(states: Tensor) -> Tensor:
    """The two directions of the greatest variance of states (n, d): coordinates (n, 2)."""
    centred = states - states.mean(dim=0)
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    found: Tensor = left[:, :2] * values[:2]
    return found
