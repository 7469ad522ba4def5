"""Consistency: how near generated text is to texts about things of which the new object holds (ROME).

The reference texts are ROME's attribute snippets: of a relation and an object, texts about subjects that have it.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.errors import RequestError
from workers.editing.model.editable_model import EditableModel
from workers.experiments.answers import Kept, Prompted, plainly
from workers.experiments.cases import Case
from workers.experiments.summary import Share
from workers.experiments.tfidf import TfIdf
from workers.questions.decoding import greedy

TOKENS = 100
"""Of a generated text, as in ROME's code."""

Attribute = tuple[str, str]
"""Ids of a relation and of an object."""


class Consistency(Kept):
    """Cosines over the cases that have reference texts."""

    cosine: Share


@dataclass(frozen=True, slots=True)
class References:
    """Texts by attribute. digest: SHA-256 of the file, in hex. weights: over all of its texts."""

    digest: str
    texts: Mapping[Attribute, Sequence[str]]
    weights: TfIdf

    @classmethod
    def read(cls, path: Path) -> References:
        """Read a file in JSON: a list of ``{relation_id, target_id, samples}``, as ROME's code ships it, or an object
        ``{relation_id: {target_id: samples}}``; a sample is ``{name, text}``.

        Raises:
            RequestError: there is no such file, or it has another form.
        """
        try:
            data = path.read_bytes()
            texts: defaultdict[Attribute, list[str]] = defaultdict(list)
            for attribute, samples in _attributes(json.loads(data)):
                texts[attribute] += [sample["text"] for sample in samples]
            weights = TfIdf.over([text for of_one in texts.values() for text in of_one])
        except OSError as error:
            raise RequestError("there is no such file", field="references", value=str(path)) from error
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            detail = "the file is not in the form of ROME's attribute snippets"
            raise RequestError(detail, field="references", value=str(path)) from error
        return cls(hashlib.sha256(data).hexdigest(), dict(texts), weights)

    def of(self, case: Case) -> Sequence[str]:
        """Those about the case's new object; none where the data set names neither it nor the relation."""
        relation, target = case.rewrite.relation, case.rewrite.target
        return () if relation is None or target is None else self.texts.get((relation, target), ())


def consistency(
    editable: EditableModel, cases: Sequence[Case], references: References, prompted: Prompted = plainly
) -> Consistency | None:
    """Of each case with references: the cosine of its texts, one after the other, with those.

    Texts go on greedily after the record's prompts for free text (its own prompt, if it has none), 100 tokens at most.
    Differs from ROME's code, which samples among the five likeliest tokens: so that a run gives the same again.
    None if no case has references.
    """
    found = [case for case in cases if references.of(case)]
    asked = [(case, prompt) for case in found for prompt in case.rewrite.generation or (case.prompt,)]
    prompts = [prompted(case, prompt) for case, prompt in asked]
    texts: defaultdict[int, list[str]] = defaultdict(list)
    for (case, prompt), text in zip(asked, greedy(editable.model, editable.tokenizer, prompts, TOKENS), strict=True):
        texts[case.record].append(prompt + text)
    cosines = [references.weights.cosine(" ".join(texts[case.record]), " ".join(references.of(case))) for case in found]
    share = Share.of([min(1.0, cosine) for cosine in cosines])
    return None if share is None else Consistency(cosine=share)


def _attributes(found: Any) -> Iterator[tuple[Attribute, Sequence[Any]]]:
    if isinstance(found, list):
        for each in found:
            yield (each["relation_id"], each["target_id"]), each["samples"]
    else:
        for relation, targets in found.items():
            for target, samples in targets.items():
                yield (relation, target), samples
