"""Where a worker's second moments come from: a file, or one made at the first start from the model's corpus."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from app.domain.errors import StatisticsMismatch
from app.domain.prompts import is_visible
from workers.editing.model.editable_model import EditableModel
from workers.editing.statistics import (
    Statistics,
    fingerprint,
    load_statistics,
    save_statistics,
    second_moments,
)
from workers.editing.text.model_text import ModelText
from workers.questions.prompt_tokens import prompt_ids

CORPUS = "corpus.txt"
"""Beside a bundled model: one sentence a line."""

FIRST_START_TOKENS = 30_000
"""So many tokens of the corpus at the first start; `palimpsest statistics` takes as many as one likes."""

MOST_TEXTS = 64
"""Of the corpus beside a model, so many texts from its end are those that harm is measured on."""

logger = logging.getLogger(__name__)


def find_statistics(
    editable: EditableModel, source: str, layers: Sequence[int], directory: Path, given: Path | None
) -> Statistics:
    """The statistics of an unedited model at ``layers``.

    ``given`` wins; else a file in ``directory`` that an earlier start left for this very model; else they are made
    from the corpus beside the model, and left there.

    Raises:
        StatisticsMismatch: another model's file, or nothing to make them from.
    """
    if given is not None:
        return load_statistics(given, editable)
    span = "-".join(str(layer) for layer in layers)
    path = directory / f"{Path(source).name}-{fingerprint(editable)[:16]}-{span}.safetensors"
    if path.exists():
        return load_statistics(path, editable)
    corpus = Path(source) / CORPUS
    if not corpus.is_file():
        detail = "no statistics for this model: make them with `palimpsest statistics MODEL --corpus FILE --out S`"
        raise StatisticsMismatch(detail, field="statistics", value=source)
    start = time.monotonic()
    with corpus.open(encoding="utf-8") as lines:
        texts = (line.rstrip("\n") for line in lines)
        statistics = second_moments(editable, texts, layers, max_tokens=FIRST_START_TOKENS)
    save_statistics(statistics, path)
    logger.info("statistics made from the corpus", extra={"seconds": round(time.monotonic() - start, 2)})
    return statistics


def texts_beside(editable: EditableModel, source: str) -> tuple[tuple[int, ...], ...]:
    """Token ids of texts to measure harm on: the last ones of the corpus beside the model; none if there is none."""
    corpus = Path(source) / CORPUS
    if not corpus.is_file():
        return ()
    lines = [line for line in corpus.read_text(encoding="utf-8").splitlines() if is_visible(line)]
    words = ModelText.of(editable.tokenizer)
    return tuple(
        tuple(prompt_ids(words, line, sys.maxsize, "corpus"))[: editable.window] for line in lines[-MOST_TEXTS:]
    )
