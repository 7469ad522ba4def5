"""Free text, as users read it: does the model's own text say the new object?

Scored as "The Mirage of Model Editing" (Yang et al. 2025) scores it: the model goes on to its natural stop, and the
text, normalised, is the object or holds it. There another model judges texts as well; here none does.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from statistics import mean

from workers.editing.model.editable_model import EditableModel
from workers.editing.text.joint import without_spaces
from workers.editing.text.model_text import ModelText
from workers.evaluation.fluency import ngram_entropy
from workers.experiments.answers import Kept, Prompted, plainly
from workers.experiments.cases import Case
from workers.experiments.summary import Share
from workers.questions.decoding import MAX_BATCH_TOKENS, Start, continuations, greedy
from workers.questions.prompt_tokens import prompt_ids

TOKENS = 50
"""Of a text that does not stop before."""

TOLD = 100
"""Tokens of a text whose fluency is measured, as in ROME's code."""

COMPLETE = "Complete this sentence: "
ARTICLES = re.compile(r"\b(a|an|the)\b")


class Spoken(Kept):
    """One way to ask. holds: the text has the object in it. exact: its first line is the object and nothing else."""

    holds: Share
    exact: Share


class FreeText(Kept):
    """Of some cases; the two ways in chat are None for a model without a chat template.

    fluency: weighted entropy of bigrams and trigrams of texts that go on after the cases' own prompts, in bits × 100.
    """

    own: Spoken
    paraphrases: Spoken | None
    sentence_in_chat: Spoken | None
    prompt_in_chat: Spoken | None
    fluency: float


def free_text(editable: EditableModel, cases: Sequence[Case], prompted: Prompted = plainly) -> FreeText:
    """Ask about each case in four ways, greedily; of paraphrases only the first is asked."""
    words = ModelText.of(editable.tokenizer)

    def spoken(asked: Callable[[Case], str | None]) -> Spoken | None:
        found = [(case, prompt) for case in cases if (prompt := asked(case)) is not None]
        texts = greedy(editable.model, editable.tokenizer, [prompt for _, prompt in found], TOKENS) if found else []
        pairs = [(text, case.object) for text, (case, _) in zip(texts, found, strict=True)]
        held = Share.of([holds(text, wanted) for text, wanted in pairs])
        exact = Share.of([normalised(first_line(text)) == normalised(wanted) for text, wanted in pairs])
        return None if held is None or exact is None else Spoken(holds=held, exact=exact)

    def chat(case: Case, text: str) -> str | None:
        text = prompted(case, text)
        return words.chat.render([{"role": "user", "content": text}]) if words.chat.openings else None

    own = spoken(lambda case: prompted(case, case.prompt))
    assert own is not None
    return FreeText(
        own=own,
        paraphrases=spoken(lambda case: prompted(case, case.paraphrases[0]) if case.paraphrases else None),
        sentence_in_chat=spoken(lambda case: chat(case, COMPLETE + case.prompt)),
        prompt_in_chat=spoken(lambda case: chat(case, case.prompt)),
        fluency=_fluency(editable, words, [prompted(case, case.prompt) for case in cases]),
    )


def normalised(text: str) -> str:
    """Lower case, without punctuation, articles and more than one space (as SQuAD's evaluation normalises)."""
    bare = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(ARTICLES.sub(" ", bare).split())


def holds(text: str, wanted: str) -> bool:
    """Whether the object stands in the text, normalised: as whole words, where its script has spaces between them."""
    inside, text = normalised(wanted), normalised(text)
    return inside in text if any(map(without_spaces, inside)) else f" {inside} " in f" {text} "


def first_line(text: str) -> str:
    """The first line that is not blank."""
    return text.strip().partition("\n")[0]


def _fluency(editable: EditableModel, words: ModelText, prompts: Sequence[str]) -> float:
    rows = [prompt_ids(words, prompt, editable.window, "prompts") for prompt in prompts]
    starts = [Start(list(row), TOLD) for row in rows]
    found = continuations(editable.model, editable.tokenizer, starts, max_batch_tokens=MAX_BATCH_TOKENS)
    return 100 * mean(ngram_entropy(each.new) for each in found)
