"""Facts about the world, made counterfactual, that a model is calibrated on: the bundled models', or a file's."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from app.domain.errors import RequestError
from app.domain.prompts import SLOT
from workers.editing.types import Fact
from workers.models import bundled

TABLE = bundled("atlas-gpt2") / "facts.json"
"""CounterFact's record shape; what the facts are made from is named in the model's card."""

NEIGHBOURS = 2
"""At most so many neighbours of a fact are asked."""

SEED = 12


@dataclass(frozen=True, slots=True)
class WorldFact:
    """A fact to write, and what it shall and shall not change.

    truth: the object that it replaces. paraphrases: whole prompts. neighbours: whole prompts, whose answer is
    ``neighbour_answer``.
    """

    fact: Fact
    truth: str
    paraphrases: tuple[str, ...]
    neighbours: tuple[str, ...]
    neighbour_answer: str


def world_facts(file: Path | None = None) -> list[WorldFact]:
    """All facts of a file, or of the table, in an order in which every relation takes its turn.

    Raises:
        RequestError: the file is not a list of such records.
    """
    try:
        records = json.loads((file or TABLE).read_text(encoding="utf-8"))
        found = [(_relation(record), _fact(record)) for record in records[:]]  # a mapping has no slices
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        detail = f"not a list of records as CounterFact or EasyEdit have them: {type(error).__name__}"
        raise RequestError(detail, field="facts", value=str(file or TABLE.name)) from None
    return _in_turn(found)


def _in_turn(found: Sequence[tuple[str, WorldFact]]) -> list[WorldFact]:
    """One fact of each relation after another, each relation's in a seeded order; a subject comes once."""
    by_relation: dict[str, list[WorldFact]] = defaultdict(list)
    for relation, fact in found:
        by_relation[relation].append(fact)
    for facts in by_relation.values():
        random.Random(SEED).shuffle(facts)  # noqa: S311 - an order, no secret
    once: dict[str, WorldFact] = {}
    for turn in zip_longest(*by_relation.values()):
        for fact in (each for each in turn if each is not None):
            once.setdefault(fact.fact.subject, fact)
    return list(once.values())


def _fact(record: dict[str, Any]) -> WorldFact:
    """One record, in CounterFact's own shape or in EasyEdit's flat one."""
    if "requested_rewrite" not in record:
        subject, prompt = record["subject"], record["prompt"]
        fact = Fact(subject, prompt.replace(subject, SLOT, 1), record["target_new"])
        neighbours = tuple(_texts(record.get("locality_prompt")))
        answer = str(record.get("locality_ground_truth") or record["ground_truth"])
        return WorldFact(fact, record["ground_truth"], tuple(_texts(record.get("rephrase_prompt"))), neighbours, answer)
    rewrite = record["requested_rewrite"]
    fact = Fact(rewrite["subject"], rewrite["prompt"], rewrite["target_new"]["str"])
    truth = rewrite["target_true"]["str"]
    paraphrases = tuple(record.get("paraphrase_prompts") or ())
    return WorldFact(fact, truth, paraphrases, tuple(record.get("neighborhood_prompts") or ()), truth)


def _texts(given: Any) -> Iterator[str]:
    if isinstance(given, str):
        yield given
    elif given is not None:
        yield from islice((str(each) for each in given), NEIGHBOURS)


def _relation(record: dict[str, Any]) -> str:
    return str(record.get("requested_rewrite", {}).get("relation_id", ""))
