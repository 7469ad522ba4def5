"""Editing without a service: what `palimpsest apply` runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from app.domain.contract import Fact as SentFact
from app.domain.contract import FactReport, Paraphrase, Unheld
from app.domain.errors import PalimpsestError, RequestError
from app.domain.manifest import LoggedFact
from app.domain.problems import problem_of_validation
from app.domain.settings import DATA_DIR
from workers.editing.batch import refuse_contradictions, tokenise_batch
from workers.editing.contexts import contexts_of
from workers.editing.knowledge import KnowledgeBase
from workers.editing.loading import load
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets import choose_preset
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource, plan_layers
from workers.editing.statistics import fingerprint
from workers.editing.text.model_text import ModelText
from workers.editing.types import Fact, Silent
from workers.evaluation.batch_report import measure
from workers.evaluation.harm import refuse_flat
from workers.host.attempts import Attempts, Scene
from workers.host.fact_reports import fact_reports, unwritten
from workers.host.statistics_store import find_statistics
from workers.host.unheld import settle
from workers.onboarding.kept import Kept
from workers.sources import source_of
from workers.versions.logged_facts import as_facts, as_logged, as_sent


class FactLine(SentFact):
    """One fact of a facts file: as in a request, and what a data set has beside is not looked at."""

    model_config = ConfigDict(extra="ignore")


class FactsFile(BaseModel):
    """Batches, edited one after another."""

    batches: tuple[tuple[FactLine, ...], ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """The batches of a file.

        Raises:
            RequestError: it does not have the right form; the field says where.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            found = [{**each, "loc": (path.name, *each["loc"])} for each in error.errors(include_url=False)]
            problem = problem_of_validation(found, None)
            raise RequestError(problem.detail, field=problem.field, value=problem.value) from None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One batch: ``totals`` by layer are (d_out, d_in), all updates so far against the base weights.

    ``companions`` counts the facts of earlier batches that were optimised together with it. reports: of each fact;
    none where nobody asked. rejected: why nothing of the batch was written.
    """

    number: int
    facts: int
    companions: int
    seconds: float
    totals: dict[int, Tensor]
    update_norms: dict[int, float]
    reports: tuple[FactReport, ...] = ()
    rejected: str | None = None

    @property
    def unheld(self) -> int:
        """How many facts do not hold, as far as the reports tell."""
        return sum(not report.holds for report in self.reports)

    def as_row(self) -> dict[str, Any]:
        """All but the tensors, for a report."""
        return {
            "batch": self.number,
            "facts": self.facts,
            "companions": self.companions,
            "seconds": self.seconds,
            "update_norms": self.update_norms,
            "rejected": self.rejected,
            "fact_reports": [report.model_dump(mode="json") for report in self.reports],
        }


@dataclass(frozen=True, slots=True)
class OfflineModel:
    """A model opened for editing in this process, with all that an edit needs."""

    source: str
    live: EditableModel
    preset: Preset
    contexts: tuple[str, ...]
    strict_contexts: tuple[str, ...]

    @classmethod
    def open(
        cls,
        model: str,
        *,
        device: str,
        dtype: str,
        preset: Path | None = None,
        contexts: Path | None = None,
        method: str | None = None,
        plan: str | None = None,
        data_dir: Path = DATA_DIR,
    ) -> OfflineModel:
        """Load a model by what ``source_of`` takes; preset and contexts default to the model's own.

        Raises:
            PalimpsestError: the preset, the contexts or the architecture is at fault.
        """
        source = source_of(model, data_dir)
        live = load(source, device=device, dtype=dtype)
        known_by = fingerprint(live)
        found = Kept.of(data_dir, known_by).read()
        chosen = choose_preset(source, live.depth, preset, method, plan, fingerprint=known_by, found=found)
        templates = contexts_of(live, source, contexts)
        published = contexts_of(live, source, contexts, strict=True)
        return cls(source, live, chosen, templates, published)

    def edit(
        self,
        batches: Sequence[Sequence[Fact | FactLine]],
        statistics: Path | None,
        data_dir: Path,
        *,
        strict: bool,
        unheld: Unheld = "keep",
        measured: bool = False,
    ) -> Iterator[BatchResult]:
        """Edit batch after batch on a shadow, as the service does; the model itself stays as it was.

        Args:
            strict: the published behaviour. Facts may contradict each other then, and all of them are kept.
            unheld: what becomes of facts that do not hold. A batch that is rejected leaves the model as it was.
            measured: whether each fact gets its report.

        Raises:
            PalimpsestError: a fact, a layer or the statistics are at fault.
        """
        layers = plan_layers(self.preset)
        found = find_statistics(self.live, self.source, self.preset.layers, data_dir / "statistics", statistics)
        source, knowledge, current = PriorSource(self.live, found, self.contexts), KnowledgeBase(), self.live
        preset = self.preset.as_published() if strict else self.preset
        for number, batch in enumerate(batches):
            start = time.monotonic()
            sent = [each if isinstance(each, FactLine) else _line(each) for each in batch]
            facts = _logged(sent, ModelText.of(self.live.tokenizer))
            if not strict:
                refuse_contradictions(as_facts(facts))
            contexts = self.strict_contexts if strict else self.contexts
            scene = Scene(current, preset, contexts, knowledge, source, strict, Silent())
            attempts = Attempts(scene, as_facts(facts))
            before = measure(current, facts) if measured else None
            settled = settle(attempts, "keep" if strict else unheld)
            last = settled.attempt
            reports: tuple[FactReport, ...] = ()
            if before is not None:
                after = measure(attempts.shadow, facts, before)
                reports = fact_reports(settled, preset, facts, before, after)
                reports = reports if settled.rejected is None else unwritten(reports)
            if not strict:
                rows = tokenise_batch(current, as_facts(facts), self.contexts[:1])
                refuse_flat(attempts.shadow, [row.prompts[0].ids for row in rows])
            if settled.rejected is None:
                written = [attempts.facts[index] for index in last.members]
                knowledge = knowledge.after(number + 1, written, last.admission, last.edited)
                current = attempts.shadow
            yield BatchResult(
                number,
                len(facts),
                len(last.admission.companions),
                round(time.monotonic() - start, 3),
                {
                    layer: (current.weights(layer).applied - self.live.master(layer)).cpu().contiguous()
                    for layer in layers
                },
                {update.layer: float(update.dense.norm()) for update in last.edited.updates},
                reports,
                settled.rejected,
            )


def _line(fact: Fact) -> FactLine:
    """A fact in the engine's terms as a line of a file would say it."""
    return FactLine.model_construct(
        subject=fact.subject.strip(),
        prompt=fact.prompt,
        object=fact.object.strip(),
        stop=fact.stop,
        paraphrases=tuple(Paraphrase.model_construct(prompt=prompt, teach=True) for prompt in fact.taught),
    )


def _logged(sent: Sequence[FactLine], words: ModelText) -> tuple[LoggedFact, ...]:
    """The facts as the edit log would keep them.

    Raises:
        RequestError: a subject cannot be found in its prompt; the field names the fact's index.
    """
    try:
        return as_logged(sent, words)
    except PalimpsestError as error:
        raise as_sent(error, sent) from None
