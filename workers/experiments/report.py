"""What a run found, as JSON and as a page whose first lines say if edits hold, what else changed, and what it cost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from workers.editing.presets.preset import Preset
from workers.experiments.ability_looks import AbilityLook
from workers.experiments.answers import CaseAnswers
from workers.experiments.free_text import FreeText
from workers.experiments.questions_asked import Asked, by_kind, rows
from workers.experiments.retention import standing
from workers.experiments.run_folder import BatchLine, Checkpoint, Unedited, Wanted, seconds_a_fact
from workers.experiments.summary import Part, Share, Summary

AGES = 4
"""Facts are told apart by age in so many parts."""

NONE = "–"


@dataclass(frozen=True, slots=True)
class Found:
    """All that a run has found so far; ``checkpoints`` has one at least.

    preset: what was edited with; None where nothing was. machine: a line. unasked: reasons why questions beyond the
    facts were not asked. abilities: if tasks were asked.
    """

    wanted: Wanted
    preset: Preset | None
    machine: str
    unusable: dict[str, int]
    unedited: Unedited
    lines: Sequence[BatchLine]
    checkpoints: Sequence[Checkpoint]
    unasked: dict[str, int] = field(default_factory=dict)
    abilities: Sequence[AbilityLook] = ()

    @property
    def last(self) -> Checkpoint:
        """The newest checkpoint."""
        return self.checkpoints[-1]

    @property
    def before(self) -> Summary:
        """The unedited model on the facts of the newest checkpoint."""
        asked = self._standing(self.unedited.plain)
        return Summary.of(asked, asked)

    @property
    def told(self) -> Summary:
        """The same, with each fact in the prompt."""
        return Summary.of(self._standing(self.unedited.told), self._standing(self.unedited.plain))

    def _standing(self, found: Sequence[CaseAnswers]) -> list[CaseAnswers]:
        """Those of the newest checkpoint that were not edited again."""
        return standing(found[: self.last.facts], self.last.superseded)

    @property
    def asked(self) -> list[Asked]:
        """What follows from the facts of the newest checkpoint and what must not, by kind."""
        return by_kind(self.unedited.rippled, self.last.rippled)

    def ages(self) -> list[tuple[int, int, Summary]]:
        """The facts of the newest checkpoint by age, oldest first: from, to (not included), and how they stand."""
        found, before = self._standing(self.last.answers), self._standing(self.unedited.plain)
        count = len(found)
        cuts = [count * part // AGES for part in range(AGES + 1)]
        return [
            (start, end, Summary.of(found[start:end], before[start:end]))
            for start, end in pairwise(cuts)
            if start < end
        ]

    def as_json(self, further: Mapping[str, Any]) -> str:
        """All figures, and further ones, without the single answers."""
        single = {"answers", "probes", "rippled"}
        checkpoints = [each.model_dump(mode="json", exclude=single) for each in self.checkpoints]
        found: dict[str, Any] = {
            "run": self.wanted.model_dump(mode="json"),
            "preset": None if self.preset is None else self.preset.as_dict(),
            "machine": self.machine,
            "unusable": self.unusable,
            "batches": dict(Counter(line.status for line in self.lines)),
            "seconds_a_fact": seconds_a_fact(self.lines),
            "unedited": self.before.model_dump(mode="json"),
            "told_in_the_prompt": self.told.model_dump(mode="json"),
            "free_text_unedited": None if self.unedited.free is None else self.unedited.free.model_dump(mode="json"),
            "questions": [each.model_dump(mode="json") for each in self.asked],
            "unasked": self.unasked,
            "checkpoints": checkpoints,
            "by_age": [
                {"from": start, "to": end, **found.model_dump(mode="json")} for start, end, found in self.ages()
            ],
            "abilities": [each.model_dump(mode="json") for each in self.abilities],
            **further,
        }
        return json.dumps(found, indent=2) + "\n"

    def as_page(self, figures: Sequence[str], further: Sequence[str]) -> str:
        """The page, in Markdown. ``figures``: names of pictures beside it. ``further``: sections of it."""
        parts = [self._head(), self._table(), self._by_age()]
        parts += [] if self.last.free is None else [_spoken(self.unedited.free, self.last.free)]
        parts += [_rippled(self.asked, self.unasked)] if self.asked or self.unasked else []
        parts += further
        parts += ["\n".join(f"![{name}]({name})" for name in figures)] if figures else []
        return "\n\n".join([*parts, self._made_of()]) + "\n"

    def _head(self) -> str:
        now, wanted, last = self.last.summary, self.wanted, self.last
        holds = (
            f"own prompt {of_part(now.efficacy)}, to the token {of_share(now.efficacy.exact)}; "
            f"paraphrases {of_part(now.generalisation)}. The first batch still: {of_part(last.first.efficacy)}"
        )
        changed = (
            f"right answers of neighbours {of_part(self.before.specificity)} before, {of_part(now.specificity)} after"
        )
        if last.drift is not None:
            changed += (
                f"; other text: KL {last.drift.kl:.3f} a token, {last.drift.top1:.0%} of the likeliest tokens stay, "
                f"{last.drift.perplexity:.2f} times the perplexity"
            )
        taken = seconds_a_fact(self.lines)
        seconds = NONE if taken is None else f"{taken:.2f} s a fact"
        kept, memory = last.log_bytes / last.facts / 1e3, last.peak_memory_mb / 1e3
        cost = f"{seconds}, {kept:.1f} kB a fact in the edit log, {memory:.1f} GB of memory at most"
        return "\n".join(
            [
                f"# {wanted.model}: {last.facts} facts of {wanted.dataset}",
                "",
                f"In batches of {wanted.batch}, with {self._how()}.",
                "",
                f"- **Does it hold?** {holds}.",
                f"- **What else changed?** {changed}.",
                f"- **What did it cost?** {cost}.",
            ]
        )

    def _how(self) -> str:
        if self.preset is None:
            return f"{self.wanted.method}: no weight was changed, all facts were told in the prompt"
        layers = ", ".join(map(str, self.preset.layers))
        strict = ", strict" if self.wanted.strict else ""
        method = f"{self.preset.method}, plan {self.preset.plan}, layers {layers}{strict}"
        return f"{method}; {self.last.written} were written"

    def _table(self) -> str:
        rows = [("unedited", self.before), ("the fact told in the prompt, unedited", self.told)]
        rows += [(f"{each.facts} facts", each.summary) for each in self.checkpoints]
        head = (
            "",
            "efficacy",
            "to the token",
            "generalisation",
            "to the token",
            "specificity",
            "to the token",
            "score",
        )
        return markdown(head, [(name, *_cells(found)) for name, found in rows]) + (
            "\n\nEach share compares: the wanted object is likelier than the other one, by mean log-probability a "
            "token. Where there is no other one, it is the share of tokens that are the likeliest. Intervals of 95% "
            "over facts. Score: the harmonic mean of the three."
        )

    def _by_age(self) -> str:
        rows = [
            (
                f"{start + 1} to {end}",
                of_part(found.efficacy),
                of_share(found.efficacy.exact),
                of_part(found.generalisation),
            )
            for start, end, found in self.ages()
        ]
        title = f"How facts stand after all {self.last.facts}, by age\n\n"
        return title + markdown(("facts", "efficacy", "to the token", "generalisation"), rows)

    def _made_of(self) -> str:
        statuses = ", ".join(
            f"{count} {status}" for status, count in Counter(line.status for line in self.lines).items()
        )
        unusable = ", ".join(f"{count} {reason}" for reason, count in self.unusable.items()) or "none"
        norms = ", ".join(f"{layer}: {norm:.3f}" for layer, norm in self.last.norms.items()) or "none"
        return "\n".join(
            [
                f"Batches: {statuses}. Records that could not be used: {unusable} (`unusable.json`).",
                f"‖ΔW‖ / ‖W‖ by layer: {norms}. Data: SHA-256 {self.wanted.digest[:16]}…; seed {self.wanted.seed}.",
                f"Machine: {self.machine}.",
            ]
        )


def _cells(found: Summary) -> Iterator[str]:
    for part in (found.efficacy, found.generalisation, found.specificity):
        yield of_part(part)
        yield NONE if part is None else of_share(part.exact)
    yield NONE if found.score is None else f"{found.score:.1%}"


def of_part(part: Part | None) -> str:
    """What a kind of question is judged by: comparison, or tokens where there is nothing to compare with."""
    if part is None:
        return NONE
    return of_share(part.tokens if part.success is None else part.success)


def of_share(found: Share) -> str:
    """A share with its interval."""
    return f"{found.mean:.1%} ({found.low:.0%} to {found.high:.0%})"


def _spoken(before: FreeText | None, after: FreeText) -> str:
    ways = {
        "own prompt": "own",
        "paraphrase": "paraphrases",
        "complete the sentence, in chat": "sentence_in_chat",
        "own prompt, in chat": "prompt_in_chat",
    }
    rows = []
    for title, name in ways.items():
        now, then = getattr(after, name), None if before is None else getattr(before, name)
        if now is not None:
            rows.append(
                (title, NONE if then is None else of_share(then.holds), of_share(now.holds), of_share(now.exact))
            )
    fluency = "" if before is None else f"{before.fluency:.0f} before, "
    return (
        "Free text that says the new object, greedily decoded to its natural stop\n\n"
        + markdown(("asked", "unedited", "edited", "edited: and nothing else"), rows)
        + f"\n\nFluency (n-gram entropy × 100): {fluency}{after.fluency:.0f} after."
    )


def _rippled(found: Sequence[Asked], unasked: dict[str, int]) -> str:
    head = ("questions", "records", "tests", "unedited", "edited", "unedited: nothing else", "edited: nothing else")
    left_out = ", ".join(f"{count} {reason}" for reason, count in unasked.items())
    return (
        "What follows from the facts, and what must not change: free text whose first line has a right answer in it\n\n"
        + markdown(head, list(rows(found, of_share)))
        + "\n\nShares of tests, each record once."
        + (f" Not asked: {left_out} (`unasked.json`)." if left_out else "")
    )


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
