"""Statistics over a corpus that somebody gives: its texts, and which of them are held out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from app.domain.errors import StatisticsMismatch
from app.domain.prompts import is_visible
from workers.editing.model.editable_model import EditableModel
from workers.editing.statistics import Statistics, windows
from workers.editing.text.model_text import ModelText
from workers.onboarding.kept_texts import KeptTexts, Texts
from workers.onboarding.own_statistics import MOST_PER_WIDTH, settled_over
from workers.onboarding.settling import MAX_TOKENS
from workers.questions.prompt_tokens import prompt_ids
from workers.sources.data_sets import rows_of

SAMPLES = 10_000
"""At most so many texts of a corpus are read."""

MOST_HELD_OUT = 64
"""So many texts from a corpus's end are those that harm is measured on."""

PART_HELD_OUT = 4
"""Of a short corpus the last quarter."""


def texts_of(corpus: str) -> Iterator[str]:
    """Lines of a file; or the ``text`` column of a data set ``name[:subset]``, streamed.

    Raises:
        RequestError: no such file, and the extra for data sets is not installed.
    """
    path = Path(corpus)
    if path.exists():
        with path.open(encoding="utf-8") as lines:
            yield from (line.rstrip("\n") for line in lines)
        return
    yield from (str(row["text"]) for row in rows_of(corpus, "corpus"))


def corpus_statistics(
    editable: EditableModel,
    corpus: str,
    layers: Sequence[int],
    *,
    samples: int = SAMPLES,
    max_batch_tokens: int = 4096,
    progress: Callable[[int], None] = lambda _tokens: None,
) -> tuple[Statistics, KeptTexts]:
    """C over a corpus's texts but the last ones, until it has settled; and the texts that it is over.

    Whether it has settled is what q of keys in the last texts says, which are held out. ``progress`` hears of tokens
    as they are read.

    Raises:
        RequestError: there is no such corpus. StatisticsMismatch: it has too few texts.
        LayerOutOfRange: there is no such layer.
    """
    texts = [text for text in islice(texts_of(corpus), samples) if is_visible(text)]
    count = len(texts)
    most = min(MOST_HELD_OUT, count // PART_HELD_OUT)
    if not most:
        detail = f"the corpus has {count} texts, one a line; at least {PART_HELD_OUT} are needed"
        raise StatisticsMismatch(detail, field="corpus", value=corpus)
    width = max(editable.key_width(layer) for layer in layers)
    found, kept = settled_over(
        editable,
        windows(editable, texts[:-most]),
        last_texts(editable, texts, most),
        layers,
        max_tokens=max(MAX_TOKENS, MOST_PER_WIDTH * width),
        max_batch_tokens=max_batch_tokens,
        progress=progress,
    )
    return found, kept.model_copy(update={"corpus": name_of(corpus)})


def name_of(corpus: str) -> str:
    """A file's name without its folder; a data set's own."""
    return Path(corpus).name if Path(corpus).exists() else corpus


def last_texts(editable: EditableModel, texts: Sequence[str], most: int = MOST_HELD_OUT) -> Texts:
    """Token ids of the last texts that show anything, each as far as it fits into the window."""
    words = ModelText.of(editable.tokenizer)
    seen = [text for text in texts if is_visible(text)][-most:]
    return tuple(tuple(prompt_ids(words, text, sys.maxsize, "corpus"))[: editable.window] for text in seen)
