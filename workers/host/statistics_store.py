"""Where a worker's second moments come from: a file, or one made at the first start, from a corpus or by the model."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import StatisticsMismatch
from workers.editing.model.editable_model import EditableModel
from workers.editing.moments import MomentSums
from workers.editing.statistics import (
    Statistics,
    fingerprint,
    load_statistics,
    save_statistics,
    second_moments,
    statistics_of,
)
from workers.models.shipped_statistics import shipped, shipped_file
from workers.onboarding.corpus import corpus_statistics, last_texts
from workers.onboarding.kept_texts import KeptTexts, Texts
from workers.onboarding.own_statistics import own_statistics

CORPUS = "corpus.txt"
"""Beside a bundled model: one sentence a line."""

FIRST_START_TOKENS = 30_000
"""So many tokens of the corpus at the first start; `palimpsest statistics` takes as many as one likes."""

TELL_EVERY_S = 10.0

Progress = Callable[[int], None]
"""Hears of tokens as they are done."""

logger = logging.getLogger(__name__)


def find_statistics(
    editable: EditableModel,
    source: str,
    layers: Sequence[int],
    directory: Path,
    given: Path | None,
    *,
    onboard: bool = True,
    progress: Progress | None = None,
) -> Statistics:
    """The statistics of an unedited model, at ``layers`` at least.

    ``given`` wins; else the file in ``directory`` that an earlier start left for this very model, else what ships for
    it. Layers that it lacks are taken over the same texts, and added to it: those of the corpus beside the model, else
    the model's own, which it writes the first time.

    Args:
        onboard: whether a model without a corpus may write one; that takes minutes.
        progress: by default a line in the log now and then.

    Raises:
        StatisticsMismatch: another model's file, or nothing to make them from.
    """
    if given is not None:
        return load_statistics(given, editable)
    path = statistics_path(editable, source, directory)
    found = load_statistics(path, editable) if path.exists() else _shipped(editable)
    known = {} if found is None else found.second_moments
    missing = tuple(layer for layer in layers if layer not in known)
    if found is not None and not missing:
        return found
    start = time.monotonic()
    fresh = _taken(editable, source, missing, path, progress or _Telling(start), onboard=onboard)
    made = Statistics({**known, **fresh.second_moments}, fresh.tokens, fresh.fingerprint)
    save_statistics(made, path)
    took = {"seconds": round(time.monotonic() - start, 2)}
    logger.info("statistics made from %d tokens, layers %s", made.tokens, _named(missing), extra=took)
    return made


def statistics_over(
    editable: EditableModel,
    source: str,
    layers: Sequence[int],
    directory: Path,
    corpus: str,
    progress: Progress | None = None,
) -> Statistics:
    """The statistics of an unedited model over a corpus that somebody gives, in place of those that are kept for it.

    Raises:
        RequestError: there is no such corpus. StatisticsMismatch: it has too few texts.
    """
    path = statistics_path(editable, source, directory)
    progress = progress or _Telling(time.monotonic())
    statistics, kept = corpus_statistics(editable, corpus, layers, progress=progress)
    path.unlink(missing_ok=True)  # never C over other texts than those beside it
    kept.save_beside(path)
    save_statistics(statistics, path)
    return statistics


def _shipped(editable: EditableModel) -> Statistics | None:
    known_by = fingerprint(editable)
    found = shipped(known_by)
    return None if found is None else Statistics(*found, known_by)


def statistics_path(editable: EditableModel, source: str, directory: Path) -> Path:
    """The file of all that is known of this very model."""
    return directory / f"{Path(source).name}-{fingerprint(editable)[:16]}.safetensors"


def kept_texts(editable: EditableModel, source: str, directory: Path, given: Path | None = None) -> Texts:
    """The texts that were held out when the statistics of an unedited or edited model were taken; none if none were."""
    kept = KeptTexts.beside(given or statistics_path(editable, source, directory))
    if kept is None and (ships := shipped_file(fingerprint(editable))) is not None:
        kept = KeptTexts.beside(ships)
    return () if kept is None else kept.held_out


def _taken(
    editable: EditableModel, source: str, layers: tuple[int, ...], path: Path, progress: Progress, *, onboard: bool
) -> Statistics:
    """C at some layers, over the texts that there are for this model.

    Raises:
        StatisticsMismatch: there are none, and it may not write any.
    """
    wanted = f"statistics are needed first, C at layers {_named(layers)}"
    kept = KeptTexts.beside(path)
    if kept is not None:
        logger.info("%s: they are taken over the texts that are kept", wanted)
        sums = MomentSums(editable, layers)
        sums.add(kept.texts, progress=progress)
        return statistics_of(editable, sums)
    corpus = Path(source) / CORPUS
    if corpus.is_file():
        logger.info("%s: they are taken over %s beside the model", wanted, CORPUS)
        with corpus.open(encoding="utf-8") as lines:
            texts = (line.rstrip("\n") for line in lines)
            return second_moments(editable, texts, layers, max_tokens=FIRST_START_TOKENS, progress=progress)
    if not onboard:
        detail = f"{wanted}, and there are none for this model: make them with `palimpsest statistics MODEL --out S`"
        raise StatisticsMismatch(detail, field="statistics", value=source)
    logger.info("%s: the model writes texts of its own for them, which takes some minutes", wanted)
    statistics, kept = own_statistics(editable, layers, progress=progress)
    kept.save_beside(path)  # before the statistics: without them it is read again, and nothing is lost
    return statistics


def texts_beside(editable: EditableModel, source: str) -> tuple[tuple[int, ...], ...]:
    """Token ids of texts to measure harm on: the last ones of the corpus beside the model; none if there is none."""
    corpus = Path(source) / CORPUS
    if not corpus.is_file():
        return ()
    return last_texts(editable, corpus.read_text(encoding="utf-8").splitlines())


def _named(layers: Sequence[int]) -> str:
    return ", ".join(map(str, layers))


@dataclass(slots=True)
class _Telling:
    """A line in the log every ten seconds or so. ``start``: seconds, monotonic."""

    start: float
    tokens: int = 0
    told: float = 0.0

    def __call__(self, tokens: int) -> None:
        self.tokens += tokens
        seconds = time.monotonic() - self.start
        if seconds - self.told >= TELL_EVERY_S:
            self.told = seconds
            logger.info("statistics: %d tokens so far", self.tokens, extra={"seconds": round(seconds, 1)})
