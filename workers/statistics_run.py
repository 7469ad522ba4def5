"""Statistics without a service: what `palimpsest statistics` runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from app.domain.settings import DATA_DIR
from workers.editing.loading import load
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets import choose_preset
from workers.editing.statistics import Statistics, fingerprint, second_moments
from workers.editing.statistics_parts import Part
from workers.onboarding.corpus import texts_of
from workers.onboarding.kept import Kept
from workers.onboarding.kept_texts import KeptTexts
from workers.onboarding.own_statistics import own_statistics
from workers.sources import source_of


@dataclass(frozen=True, slots=True)
class StatisticsRun:
    """A model opened for taking its statistics."""

    live: EditableModel
    layers: tuple[int, ...]

    @classmethod
    def open(
        cls, model: str, layers: Sequence[int], *, device: str, dtype: str, data_dir: Path = DATA_DIR
    ) -> StatisticsRun:
        """Load a model; without ``layers`` those of its preset are taken, also of one that an onboarding has left.

        Raises:
            LayerOutOfRange: the model has no such layer.
        """
        source = source_of(model, data_dir)
        live = load(source, device=device, dtype=dtype)
        known_by = fingerprint(live)
        found = Kept.of(data_dir, known_by).read()
        chosen = tuple(layers) or choose_preset(source, live.depth, None, fingerprint=known_by, found=found).layers
        for layer in chosen:
            live.check_layer(layer)
        return cls(live, chosen)

    def take(
        self,
        corpus: str,
        *,
        samples: int,
        part: Part | None = None,
        max_tokens: int | None,
        max_batch_tokens: int,
        progress: Callable[[int], None],
    ) -> Statistics:
        """Second moments over at most ``samples`` texts of a file or a data set, or over a part of these texts.

        ``max_tokens`` are of the part. ``progress`` hears of tokens.
        """
        texts = islice(texts_of(corpus), samples)
        return second_moments(
            self.live,
            texts if part is None else part.texts(texts),
            self.layers,
            max_tokens=max_tokens,
            max_batch_tokens=max_batch_tokens,
            progress=progress,
        )

    def take_own(
        self, *, max_tokens: int | None, max_batch_tokens: int, progress: Callable[[int], None]
    ) -> tuple[Statistics, KeptTexts]:
        """Second moments over texts that the model writes, until they have settled; ``progress`` hears of tokens."""
        return own_statistics(
            self.live, self.layers, max_tokens=max_tokens, max_batch_tokens=max_batch_tokens, progress=progress
        )
