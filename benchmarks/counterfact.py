"""CounterFact's own scores, and free text as users read it, of a model that facts were written into."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from app.domain.prompts import SLOT
from workers.editing.model.editable_model import EditableModel
from workers.editing.types import Fact
from workers.evaluation.likelihoods import Asked, scored
from workers.questions.decoding import greedy
from workers.questions.scoring import Scored

FREE_TOKENS = 24
COMPLETE = "Complete this sentence: "


@dataclass(frozen=True, slots=True)
class Record:
    """One record of CounterFact in EasyEdit's flat form."""

    fact: Fact
    truth: str
    paraphrase: str
    neighbour: str
    neighbour_answer: str


def records(path: Path) -> list[Record]:
    """Those records of a file whose subject stands once in the prompt; a (subject, prompt) comes once."""
    found: dict[tuple[str, str], Record] = {}
    for row in json.loads(path.read_text(encoding="utf-8")):
        subject, prompt = row["subject"], row["prompt"]
        if prompt.count(subject) == 1:
            fact = Fact(subject, prompt.replace(subject, SLOT), row["target_new"])
            asked = row["rephrase_prompt"], row["locality_prompt"], row["locality_ground_truth"]
            found.setdefault((subject, prompt), Record(fact, row["ground_truth"], *asked))
    return list(found.values())


def taught(record: Record) -> Fact:
    """The record's fact with its paraphrase taught too, where the subject stands there once; else the fact as it is."""
    subject, prompt = record.fact.subject, record.paraphrase
    if prompt.count(subject) != 1 or SLOT in prompt:
        return record.fact
    return replace(record.fact, taught=(prompt.replace(subject, SLOT),))


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares in [0, 1]: by mean NLL a token, as CounterFact compares, and by argmax (every token greedy)."""

    efficacy: float
    efficacy_argmax: float
    generalisation: float
    generalisation_argmax: float
    specificity: float
    specificity_argmax: float


def scores(editable: EditableModel, facts: Sequence[Record]) -> Scores:
    """Efficacy, generalisation and specificity over all records."""
    prompts = {
        "own": [(each.fact.text, each.fact.object, each.truth) for each in facts],
        "paraphrase": [(each.paraphrase, each.fact.object, each.truth) for each in facts],
        "neighbour": [(each.neighbour, each.neighbour_answer, each.fact.object) for each in facts],
    }
    return Scores(*(value for asked in prompts.values() for value in _preferred(editable, asked)))


def _preferred(editable: EditableModel, asked: Sequence[tuple[str, str, str]]) -> tuple[float, float]:
    """How often the first object is likelier than the second, and how often it is the greedy answer."""
    pairs: list[Asked] = [(prompt, wanted) for prompt, wanted, _ in asked]
    wanted = scored(editable, pairs)
    other = scored(editable, [(prompt, unwanted) for prompt, _, unwanted in asked])
    return _share(one.nll < two.nll for one, two in zip(wanted, other, strict=True)), _argmax(wanted)


def _argmax(found: Sequence[Scored]) -> float:
    return _share(each.standing.rank == 1 for each in found)


def _share(held: Iterable[bool]) -> float:
    listed = list(held)
    return sum(listed) / len(listed)


@dataclass(frozen=True, slots=True)
class FreeText:
    """Share of greedy texts of ``FREE_TOKENS`` tokens that hold the new object, by how it was asked."""

    as_edited: float
    complete_in_chat: float
    prompt_in_chat: float
    paraphrase: float


def free_text(editable: EditableModel, facts: Sequence[Record]) -> FreeText:
    """Ask for each fact in four ways; the model must have a chat template."""

    def chat(text: str) -> str:
        turns = [{"role": "user", "content": text}]
        return str(editable.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    ways = (
        [each.fact.text for each in facts],
        [chat(COMPLETE + each.fact.text) for each in facts],
        [chat(each.fact.text) for each in facts],
        [each.paraphrase for each in facts],
    )
    shares = []
    for prompts in ways:
        texts = greedy(editable.model, editable.tokenizer, prompts, FREE_TOKENS)
        shares.append(_share(each.fact.object.lower() in text.lower() for each, text in zip(facts, texts, strict=True)))
    return FreeText(*shares)


@torch.inference_mode()
def log_probabilities(editable: EditableModel, texts: Sequence[Sequence[int]]) -> list[Tensor]:
    """Of each text the log-probabilities (tokens - 1, vocabulary) of its next tokens, float32."""
    found = []
    for ids in texts:
        logits = editable.model(input_ids=torch.tensor([list(ids)], device=editable.device), use_cache=False).logits
        found.append(torch.log_softmax(logits[0, :-1].float(), dim=-1))
    return found


def divergence(before: Sequence[Tensor], after: Sequence[Tensor]) -> float:
    """Mean KL(before ‖ after) a token, in nats."""
    sums = [float((old.exp() * (old - new)).sum()) for old, new in zip(before, after, strict=True)]
    return sum(sums) / sum(len(old) for old in before)
