"""What an analysis is begun with."""

from __future__ import annotations

from app.domain.contract import Hyperparameters
from workers.experiments.answers import Kept


class Asked(Kept):
    """digest: of the data set. facts: at most so many, of which ``batch`` are edited together."""

    model: str
    dataset: str
    digest: str
    facts: int
    batch: int
    hyperparameters: Hyperparameters = Hyperparameters()
    dtype: str = "float32"
