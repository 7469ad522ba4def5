"""Methods beside each other, with their own spreads and with BLUE, on the same facts, as papers tabulate them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from app.domain.contract import Hyperparameters
from app.domain.settings import DATA_DIR
from workers.experiments.answers import Kept
from workers.experiments.cases import DataSet
from workers.experiments.evaluation import Evaluation
from workers.experiments.in_context import IKE, NothingToShow
from workers.experiments.machine import machine
from workers.experiments.report import NONE, markdown, of_part, of_share
from workers.experiments.retention import standing
from workers.experiments.run_folder import Checkpoint, RunFolder, Unedited, Wanted, seconds_a_fact
from workers.experiments.sequence import Heard
from workers.experiments.summary import Summary

TABLE = "comparison.json"
BOUNDARY = "boundary"

OWN_SPREAD = {"memit": "even", "alphaedit": "even", "rect": "even", "prune": "even", "pmet": "sqrt"}
"""How each method distributes the residual in its paper's code."""

ONE_LAYER = ("rome", "ft-l")
"""Methods that edit one layer, whatever the plan: baselines."""


class Way(Kept):
    """A row of the comparison. hyperparameters: what sets it apart from a row of the same method and plan."""

    method: str
    plan: str | None = None
    hyperparameters: Hyperparameters = Hyperparameters()

    @property
    def parts(self) -> tuple[str, ...]:
        """Method, plan and what else sets it apart, in words."""
        apart = self.hyperparameters.model_dump(mode="json", exclude_none=True)
        named = (f"{name}={json.dumps(value)}" for name, value in apart.items())
        return (self.method, *filter(None, (self.plan,)), *named)

    @property
    def title(self) -> str:
        """As tables name it."""
        return ", ".join(self.parts)

    @property
    def name(self) -> str:
        """As it is asked for."""
        return ":".join(self.parts)

    def of(self, common: Hyperparameters) -> Hyperparameters:
        """Its own hyperparameters, and otherwise those that all rows have in common."""
        return common.model_copy(update=self.hyperparameters.model_dump(exclude_none=True))


def _apart(method: str, plan: str, **hyperparameters: float | bool) -> Way:
    return Way(method=method, plan=plan, hyperparameters=Hyperparameters.model_validate(hyperparameters))


LATER = (
    *(_apart("rect", plan, history=True) for plan in (OWN_SPREAD["rect"], BOUNDARY)),
    *(_apart("prune", plan, history=False) for plan in (OWN_SPREAD["prune"], BOUNDARY)),
    *(_apart(method, BOUNDARY, norm_anchor=True) for method in ("memit", "alphaedit")),
    _apart("memit", BOUNDARY, early_stop=1),
    _apart("memit", OWN_SPREAD["memit"], early_stop=2, update_norm_lambda=10.0),
)
"""What came after BLUE: K_p in RECT's solve, and PRUNE's without; norm anchors; ENCORE, and its early stop alone."""

WAYS = (
    *(Way(method=method, plan=plan) for method, own in OWN_SPREAD.items() for plan in (own, BOUNDARY)),
    Way(method="memit", plan="replay"),
    *LATER,
    *(Way(method=method) for method in ONE_LAYER),
    Way(method=IKE),
)
"""In the order of the tables."""


class Row(Kept):
    """What one way came to. unedited, edited: all facts that were handed in. error: why there are no figures."""

    way: Way
    facts: int = 0
    written: int = 0
    unedited: Summary | None = None
    edited: Summary | None = None
    first: Summary | None = None
    kl: float | None = None
    perplexity: float | None = None
    fluency: float | None = None
    seconds_a_fact: float | None = None
    error: str | None = None
    machine: str = ""

    @classmethod
    def of(cls, way: Way, folder: RunFolder, last: Checkpoint, unedited: Unedited) -> Row:
        """From a run that came to its end."""
        asked = standing(unedited.plain[: last.facts], last.superseded)
        return cls(
            way=way,
            facts=last.facts,
            written=last.written,
            unedited=Summary.of(asked, asked),
            edited=last.summary,
            first=last.first,
            kl=None if last.drift is None else last.drift.kl,
            perplexity=None if last.drift is None else last.drift.perplexity,
            fluency=None if last.free is None else last.free.fluency,
            seconds_a_fact=seconds_a_fact(folder.lines()),
        )


class Table(Kept):
    """All ways on one data set, in the order of ``WAYS``."""

    model: str
    dataset: str
    wanted: Wanted
    rows: tuple[Row, ...]

    def as_page(self) -> str:
        """In Markdown."""
        wanted = self.wanted
        scores = ("efficacy", "to the token", "generalisation", "to the token", "specificity", "to the token")
        head = ("", *scores, "score", "first batch", "KL", "perplexity, times", "fluency", "s a fact")
        unedited = next((row.unedited for row in self.rows if row.unedited is not None), None)
        rows = [] if unedited is None else [("unedited", *_scores(unedited), *[NONE] * 5)]
        rows += [_cells(row) for row in self.rows]
        errors = [f"- {row.way.title}: {row.error}" for row in self.rows if row.error is not None]
        how = f"at most {wanted.facts} facts in batches of {wanted.batch}, seed {wanted.seed}"
        shared = wanted.hyperparameters.model_dump(exclude_none=True)
        return (
            "\n\n".join(
                [
                    f"# {self.model} on {self.dataset}",
                    f"Each row: {how}, unheld facts {wanted.unheld}; hyperparameters {shared or 'those of the model'}.",
                    markdown(head, rows),
                    *(["\n".join(["Not edited:", *errors])] if errors else []),
                    f"Machine: {self._machines}. Each share with its interval of 95% over facts.",
                ]
            )
            + "\n"
        )

    @property
    def _machines(self) -> str:
        """What the rows were run on; of several machines, which rows."""
        titles: dict[str, list[str]] = {}
        for row in self.rows:
            titles.setdefault(row.machine, []).append(row.way.title)
        if len(titles) == 1:
            return next(iter(titles))
        return "; ".join(f"{machine} ({' · '.join(found)})" for machine, found in titles.items())


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs of one model on one data set, a folder a way, which go on where they were stopped.

    wanted: what all runs have in common.
    """

    folder: Path
    wanted: Wanted
    data: DataSet
    ways: Sequence[Way] = WAYS

    def run(self, device: str, data_dir: Path = DATA_DIR, heard: Heard = lambda _line: None) -> Table:
        """All of them, one after another; the table is written after each, with the rows that it had before.

        Raises:
            PalimpsestError: the model cannot be opened, or no record can be edited.
        """
        rows = self._before()
        table = self._table(rows)
        for way in self.ways:
            heard(f"{way.title}, on {self.data.name}")
            there = rows.get(way.name)
            ran_before = there is not None and self._folder(way).last_checkpoint is not None
            row = self._row(way, device, data_dir, heard)
            ran_on = there.machine if there is not None and ran_before else machine(device)
            rows[way.name] = row.model_copy(update={"machine": ran_on})
            table = self._table(rows)
            RunFolder(self.folder).write_text(TABLE, table.model_dump_json(indent=2) + "\n")
            RunFolder(self.folder).write_text("comparison.md", table.as_page())
        return table

    def _before(self) -> dict[str, Row]:
        """Rows of earlier commands in this folder by the name of their way; none if they were of something else."""
        try:
            table = Table.model_validate_json((self.folder / TABLE).read_bytes())
        except (FileNotFoundError, ValidationError):
            return {}
        return {row.way.name: row for row in table.rows} if table.wanted == self.wanted else {}

    def _row(self, way: Way, device: str, data_dir: Path, heard: Heard) -> Row:
        folder = self._folder(way)
        common = Hyperparameters() if way.method == IKE else self.wanted.hyperparameters
        own = {"method": way.method, "plan": way.plan, "hyperparameters": way.of(common)}
        wanted = self.wanted.model_copy(update=own)
        if way.method != IKE:
            self._tell_unedited(folder, wanted)
        try:
            Evaluation(folder, wanted, self.data).run(device, data_dir, heard)
        except NothingToShow as error:
            return Row(way=way, error=f"{error.code}: {error.detail}")
        unedited, last = folder.unedited, folder.last_checkpoint
        assert unedited is not None
        assert last is not None
        failed = {line.error for line in folder.lines() if line.error is not None}
        found = Row.of(way, folder, last, unedited)
        return found.model_copy(update={"error": "; ".join(sorted(failed))}) if failed else found

    def _tell_unedited(self, folder: RunFolder, wanted: Wanted) -> None:
        """The model before all edits answers alike in every row: once it has been asked, it is not asked again."""
        folder.begin(wanted)
        folder.take_unedited(self._folder(way) for way in (*WAYS, *self.ways) if way.method != IKE)

    def _folder(self, way: Way) -> RunFolder:
        return RunFolder(self.folder / "-".join(way.parts))

    def _table(self, rows: Mapping[str, Row]) -> Table:
        names = [way.name for way in (*WAYS, *self.ways)]
        ordered = tuple(rows[name] for name in dict.fromkeys(names) if name in rows)
        return Table(model=self.wanted.model, dataset=self.data.name, wanted=self.wanted, rows=ordered)


def _cells(row: Row) -> tuple[str, ...]:
    if row.edited is None or row.first is None:
        return (row.way.title, *[NONE] * 12)
    return (
        row.way.title,
        *_scores(row.edited),
        of_part(row.first.efficacy),
        *(NONE if value is None else f"{value:.3f}" for value in (row.kl, row.perplexity)),
        NONE if row.fluency is None else f"{row.fluency:.0f}",
        NONE if row.seconds_a_fact is None else f"{row.seconds_a_fact:.2f}",
    )


def _scores(found: Summary) -> tuple[str, ...]:
    parts = (found.efficacy, found.generalisation, found.specificity)
    shares = (text for part in parts for text in (of_part(part), NONE if part is None else of_share(part.exact)))
    return (*shares, NONE if found.score is None else f"{found.score:.1%}")
