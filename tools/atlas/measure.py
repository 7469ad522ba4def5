"""Measurements of a saved atlas model, reloaded from its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tools.atlas.facts import Fact, trained_prompts
from tools.atlas.phrasings import PHRASINGS

CONTEXT_STARTS = ("The", "Therefore", "Because", "I", "You")
CONTEXT_TOKENS = 10
CONTEXT_CHOICES = 5
_BATCH = 256


@dataclass(frozen=True)
class Recall:
    """Greedy recall of one relation, as shares between 0 and 1."""

    facts: int
    prompt: float
    trained: float
    held_out: float


@dataclass(frozen=True)
class Report:
    """Recall by relation and over all facts."""

    relations: dict[str, Recall]
    total: Recall

    def lines(self) -> Iterator[str]:
        """A line for each relation and one for the total."""
        for name, one in [*self.relations.items(), ("all", self.total)]:
            yield (
                f"{name}: {one.facts} facts, prompt {one.prompt:.4f}, "
                f"trained phrasings {one.trained:.4f}, held out {one.held_out:.4f}"
            )


def load(folder: Path) -> tuple[Any, Any]:
    """The saved model in float32 and its tokenizer."""
    loader: Any = AutoModelForCausalLM
    model = loader.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizers: Any = AutoTokenizer
    return model, tokenizers.from_pretrained(folder)


@torch.no_grad()
def greedy_hits(model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """For each prompt and object, whether greedy decoding gives the object."""
    hits: list[bool] = []
    for start in range(0, len(pairs), _BATCH):
        part = pairs[start : start + _BATCH]
        prompts = tokenizer([prompt for prompt, _ in part])["input_ids"]
        whole = tokenizer([f"{prompt} {answer}" for prompt, answer in part])
        rows = whole["input_ids"]
        tokens = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for index, row in enumerate(rows):
            tokens[index, : len(row)] = torch.tensor(row)
        best = model(input_ids=tokens).logits.argmax(-1)
        for index, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
            first, last = len(prompt), len(row)
            wanted = tokens[index, first:last]
            hits.append(bool((best[index, first - 1 : last - 1] == wanted).all()))
    return hits


def measure(folder: Path, facts: Sequence[Fact]) -> Report:
    """Measure greedy recall of all facts in all phrasings."""
    model, tokenizer = load(folder)
    relations: dict[str, Recall] = {}
    for relation, phrasings in PHRASINGS.items():
        members = [fact for fact in facts if fact.relation == relation]
        shares = []
        prompts = 0
        for template in phrasings.all():
            pairs = [(template.format(one.subject), one.object) for one in members]
            hits = greedy_hits(model, tokenizer, pairs)
            shares.append(sum(hits) / len(hits))
            prompts += sum(hit for hit, one in zip(hits, members, strict=True) if trained_prompts(one)[0] == template)
        *trained, held_out = shares
        mean = sum(trained) / len(trained)
        relations[relation] = Recall(len(members), prompts / len(members), mean, held_out)
    return Report(relations, _total(list(relations.values())))


def _total(parts: Sequence[Recall]) -> Recall:
    """The recall over all relations, weighted by their facts."""
    count = sum(part.facts for part in parts)
    return Recall(
        count,
        sum(part.prompt * part.facts for part in parts) / count,
        sum(part.trained * part.facts for part in parts) / count,
        sum(part.held_out * part.facts for part in parts) / count,
    )


def sample_contexts(folder: Path, seed: int) -> list[str]:
    """The bare template and five that start with sampled text."""
    model, tokenizer = load(folder)
    torch.manual_seed(seed)
    templates = ["{}"]
    for start in CONTEXT_STARTS:
        text = start + _sample(model, tokenizer, start)
        plain = text.replace("{", " ").replace("}", " ")
        templates.append(plain + ". {}")
    return templates


def _sample(model: Any, tokenizer: Any, start: str) -> str:
    """Continue a text by tokens drawn from the likeliest few."""
    inputs = tokenizer(start, return_tensors="pt")
    output = model.generate(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        do_sample=True,
        top_k=CONTEXT_CHOICES,
        min_new_tokens=CONTEXT_TOKENS,
        max_new_tokens=CONTEXT_TOKENS,
    )
    length = inputs["input_ids"].shape[1]
    text: str = tokenizer.decode(output[0, length:])
    return text.replace("\n", " ")
