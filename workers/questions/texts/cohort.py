"""Texts of one version that are written in step: one forward pass gives each of them its next token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from workers.editing.model.micro_batches import by_length
from workers.questions.cached_rows import CachedRows
from workers.questions.rows import Live
from workers.questions.texts.choice import chosen, likely
from workers.questions.texts.text import Text


class Cohort:
    """Texts, and their rows in the model, in one order."""

    def __init__(self, live: Live, texts: Sequence[Text], rows: CachedRows) -> None:
        self.live, self.texts, self._rows = live, list(texts), rows

    @classmethod
    def begun(cls, live: Live, texts: Sequence[Text], max_batch_tokens: int) -> Iterator[Cohort]:
        """Texts of this version whose prompts have been read; one cohort if that can be."""
        waiting = [[texts[i] for i in part] for part in by_length([len(text.ids) for text in texts], max_batch_tokens)]
        first: Cohort | None = None
        while waiting:
            chosen_texts = waiting.pop(0)
            rows = CachedRows(live.model, [text.ids for text in chosen_texts])
            if rows.spoilt:
                lengths = sorted({len(text.ids) for text in chosen_texts})
                waiting[:0] = [[text for text in chosen_texts if len(text.ids) == length] for length in lengths]
                continue
            cohort = cls(live, chosen_texts, rows)
            if first is None:
                first = cohort
            elif not first.absorb(cohort):
                yield cohort
        if first is not None:
            yield first

    def absorb(self, other: Cohort) -> bool:
        """Take over another's texts; False if they are of another version, or the model's caches do not allow it."""
        if self.live.version != other.live.version or not (self._rows.pliable and other._rows.pliable):
            return False
        self._rows.join(other._rows)
        self.texts += other.texts
        return True

    def step(self) -> None:
        """Write one more token of every text; who has come to the end leaves, and with the last one all."""
        scores = self._rows.scores
        tokens = chosen(scores, self.texts)
        told = likely(scores, tokens, self.texts)
        for text, token, near in zip(self.texts, tokens.tolist(), told, strict=True):
            if text.goes_on:
                text.take(token, near)
        going = [place for place, text in enumerate(self.texts) if text.goes_on]
        if not going:
            self.texts = []
            return
        if len(going) < len(self.texts) and self._rows.pliable:
            self._rows.keep(going)
            self.texts = [self.texts[place] for place in going]
            tokens = tokens[torch.tensor(going, device=tokens.device)]
        self._rows.feed(tokens)
