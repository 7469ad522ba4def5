"""What an experiment edits and asks: the records of a data set as facts, with questions and their right answers."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from app.domain.contract import Fact, ImportFormat, UnusableRecord
from app.domain.imports.reading import Reading, Rippled, read
from app.domain.imports.said import place_of
from app.domain.places import Place
from app.domain.prompts import filled, with_slot
from workers.experiments.rewrites import NOTHING, Rewrite, rewrites
from workers.sources.data_sets import rows_of

Neighbour = tuple[str, str]
"""A whole prompt about something else, and its right answer."""


@dataclass(frozen=True, slots=True)
class Case:
    """A fact, and what is asked about it. All prompts are whole.

    record: its index in the data set. fact: as it is edited, with nothing to ask beside.
    truth: the object until now; None if the record does not tell. rewrite: what CounterFact tells beside it.
    """

    record: int
    fact: Fact
    prompt: str
    object: str
    truth: str | None
    paraphrases: tuple[str, ...]
    neighbours: tuple[Neighbour, ...]
    rewrite: Rewrite = NOTHING

    @classmethod
    def of(cls, fact: Fact, record: int = 0) -> Case:
        """From a fact as a data file has it; neighbours without a right answer are left out."""
        template = with_slot(fact.subject, fact.template)
        return cls(
            record,
            fact.model_copy(update={"paraphrases": (), "neighbours": ()}),
            filled(template, fact.subject),
            fact.object,
            fact.previous,
            tuple(filled(each.prompt, fact.subject) for each in fact.paraphrases),
            tuple((filled(each.prompt, fact.subject), each.expected[0]) for each in fact.neighbours if each.expected),
        )

    @property
    def place(self) -> Place:
        """Where its fact stands."""
        return place_of(self.fact)


@dataclass(frozen=True, slots=True)
class DataSet:
    """The cases of a file or a data set by name, what its records ask beyond them, and what could not be used.

    digest: SHA-256 of what was read, in hex. unasked: questions of ``rippled`` that cannot be asked.
    """

    name: str
    format: ImportFormat
    digest: str
    cases: tuple[Case, ...]
    unusable: tuple[UnusableRecord, ...]
    rippled: tuple[Rippled, ...] = ()
    unasked: tuple[UnusableRecord, ...] = ()

    @classmethod
    def read(cls, named: str, form: ImportFormat = ImportFormat.AUTO) -> DataSet:
        """Read a file, or the training split of a data set ``NAME[:SUBSET]`` that the package ``datasets`` knows.

        A record that gives an earlier one's subject and prompt another object edits that fact again.

        Raises:
            RequestError: there is neither. UnreadableFile: its form is not known.
        """
        path = Path(named)
        data = path.read_bytes() if path.is_file() else _downloaded(named)
        found: Reading = read(data, form, again=True)
        beside = rewrites(data, found.format)
        cases = tuple(
            replace(Case.of(each.fact, each.index), rewrite=beside.get(each.index, NOTHING)) for each in found.facts
        )
        digest = hashlib.sha256(data).hexdigest()
        return cls(path.name, found.format, digest, cases, found.unusable, found.rippled, found.unasked)

    def shuffled(self, seed: int) -> DataSet:
        """The same records in a seeded order; several cases of one stay together."""
        records = [list(cases) for _, cases in groupby(self.cases, lambda case: case.record)]
        random.Random(seed).shuffle(records)  # noqa: S311 - an order
        return replace(self, cases=tuple(case for cases in records for case in cases))


def batches(cases: Sequence[Case], size: int) -> list[Sequence[Case]]:
    """The cases in batches of ``size``; the last one may be smaller."""
    return [cases[start : start + size] for start in range(0, len(cases), size)]


def _downloaded(named: str) -> bytes:
    return json.dumps([dict(row) for row in rows_of(named, "dataset")], ensure_ascii=False).encode()
