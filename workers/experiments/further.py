"""What a run found beyond CounterFact's questions: surface compliance, consistency, and facts edited again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workers.experiments.answers import Kept
from workers.experiments.cases import Case
from workers.experiments.probes import Probes
from workers.experiments.report import NONE, markdown, of_part, of_share
from workers.experiments.retention import Retention, standing
from workers.experiments.run_folder import Checkpoint, Unedited


@dataclass(frozen=True, slots=True)
class Further:
    """Of the cases of one checkpoint."""

    cases: Sequence[Case]
    unedited: Unedited
    now: Checkpoint

    @property
    def probes(self) -> tuple[Probes | None, Probes | None]:
        """Of the facts that stand: the unedited model, and the edited one."""
        before = standing(self.unedited.probes[: self.now.facts], self.now.superseded)
        return Probes.of(before), Probes.of(standing(self.now.probes, self.now.superseded))

    @property
    def retention(self) -> Retention:
        """Facts edited again, and facts of one subject."""
        return Retention.of(self.cases, self.now.answers, self.unedited.plain[: self.now.facts])

    def figures(self) -> Mapping[str, Any]:
        """For report.json."""
        before, after = self.probes
        return {
            "probes_unedited": _dumped(before),
            "probes": _dumped(after),
            "consistency_unedited": _dumped(self.unedited.consistency),
            "retention": _dumped(self.retention),
        }

    def sections(self) -> list[str]:
        """For report.md; what the data has no facts for is left out."""
        return list(filter(None, (self._probed(), self._consistent(), self._retained())))

    def _probed(self) -> str | None:
        before, after = self.probes
        if before is None or after is None:
            return None
        titles = {"choice": "multiple choice", "denied": "the old object denied", "negated": "the fact negated"}
        rows = [
            (title, of_share(getattr(before, name)), of_share(getattr(after, name))) for name, title in titles.items()
        ]
        return (
            "Surface compliance: the answer that fits the new fact is the likelier one\n\n"
            + markdown(("asked", "unedited", "edited"), rows)
            + "\n\nIn the choice that is the new object's letter, over both orders; after the denial the new object; "
            "where the fact is negated, the old one, as in a model that never heard of the new fact."
        )

    def _consistent(self) -> str | None:
        if self.now.consistency is None:
            return None
        before = NONE if self.unedited.consistency is None else f"{self.unedited.consistency.cosine.mean:.3f}"
        after = self.now.consistency.cosine
        return (
            f"Consistency (TF-IDF cosine with reference texts, facts: {after.cases}): {before} before, "
            f"{after.mean:.3f} ({after.low:.2f} to {after.high:.2f}) after."
        )

    def _retained(self) -> str | None:
        found = self.retention
        parts = []
        if found.superseded is not None:
            again = found.superseded
            parts.append(
                f"{again.later.cases} facts were edited again, and count above no more: the later object is the "
                f"likelier one of {of_share(again.later)}, the earlier one still given by {of_share(again.earlier)}."
            )
        if found.several is not None:
            groups = {"subjects with several facts": found.several, "other subjects": found.single}
            rows = [
                (title, str(each.efficacy.exact.cases), of_part(each.efficacy), of_part(each.generalisation))
                for title, each in groups.items()
                if each is not None
            ]
            parts.append(markdown(("", "facts", "efficacy", "generalisation"), rows))
        return "\n\n".join(["How facts stand whose subject was edited again", *parts]) if parts else None


def _dumped(found: Kept | None) -> Any:
    return None if found is None else found.model_dump(mode="json")
