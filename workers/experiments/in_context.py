"""In-context knowledge editing (IKE, Zheng et al. 2023), a baseline: demonstrations in the prompt, and no edit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.domain.contract import Hyperparameters
from app.domain.errors import RequestError
from workers.editing.model.editable_model import EditableModel
from workers.editing.text.model_text import ModelText
from workers.experiments.answers import told_before
from workers.experiments.cases import Case, DataSet
from workers.experiments.free_text import TOKENS
from workers.experiments.run_folder import BatchLine, RunFolder, Wanted
from workers.experiments.sequence import Heard, Run
from workers.experiments.tfidf import Nearest
from workers.host.model_host import ModelHost

IKE = "ike"
"""The method's name, where one edits with others."""

TOLD = "told"
"""The status of a batch that is in the prompt, rather than in the weights."""

MOST = 32
"""Demonstrations before a question, as in the paper; fewer where they do not fit."""


class NothingToShow(RequestError):
    """The data set has no record that is not evaluated, from which demonstrations could be made."""


Kind = Callable[[Case], tuple[str, str] | None]
"""What a demonstration asks about a case, and the right answer; None where the case has no such question."""


def copy(case: Case) -> tuple[str, str]:
    """The fact's own prompt: the new object."""
    return case.prompt, case.object


def update(case: Case) -> tuple[str, str] | None:
    """A paraphrase: the new object."""
    return (case.paraphrases[0], case.object) if case.paraphrases else None


def retain(case: Case) -> tuple[str, str] | None:
    """A neighbour: its own answer."""
    return case.neighbours[0] if case.neighbours else None


KINDS: tuple[Kind, ...] = (update, retain, copy, retain, update, retain, update, retain)
"""Of the nearest record, the next one and so on: 1 copy, 3 updates and 4 to retain of each 8, as in the paper."""


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """Other records show how a new fact is taken up, and what stays; the nearest stand next to the question.

    Differs from the paper: nearness is the TF-IDF cosine of the facts, rather than that of a sentence encoder.

    measured: by the record that is asked about, what ``about`` found; filled as it is asked.
    """

    editable: EditableModel
    store: Sequence[Case]
    nearest: Nearest
    measured: dict[int, list[tuple[str, int]]] = field(default_factory=dict)

    @classmethod
    def of(cls, editable: EditableModel, data: DataSet, asked: Sequence[Case]) -> Demonstrations:
        """From the records whose subject none of ``asked`` has.

        Raises:
            NothingToShow: there is none.
        """
        subjects = {case.fact.subject.casefold() for case in asked}
        store = [case for case in data.cases if case.fact.subject.casefold() not in subjects]
        if not store:
            detail = "the data set has no record left for demonstrations: evaluate fewer facts"
            raise NothingToShow(detail, field="facts", value=len(asked))
        return cls(editable, store, Nearest.among([_fact(case) for case in store]))

    def about(self, case: Case) -> list[tuple[str, int]]:
        """The demonstrations for a case, nearest first, and how many tokens each takes."""
        if case.record not in self.measured:
            words = ModelText.of(self.editable.tokenizer)
            nearest = [self.store[index] for index in self.nearest.to(_fact(case), MOST)]
            shown = [_shown(each, KINDS[place % len(KINDS)]) for place, each in enumerate(nearest)]
            # One more each: what ends a text alone may be two tokens within another.
            self.measured[case.record] = [(text, len(words.literal(text)) + 1) for text in shown]
        return self.measured[case.record]

    def before(self, case: Case, prompt: str) -> str:
        """A question about the case after its new fact, and after as many demonstrations as leave room for answers.

        Where nothing but the fact has room, it stands before the question as ``told_before`` has it.
        """
        words = ModelText.of(self.editable.tokenizer)
        asked = _told(case, prompt)
        answers = (case.object, case.truth or "", *(answer for _, answer in case.neighbours))
        longest = max(TOKENS, *(len(words.literal(f" {answer}")) for answer in answers))
        room = self.editable.window - longest - len(words.encode(asked).ids)
        if room < 0:
            return told_before(case, prompt)
        for shown, length in self.about(case):
            room -= length
            if room < 0:
                break
            asked = shown + asked
        return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class InContext(Run):
    """A run that edits nothing: each fact is told in the prompt, behind demonstrations."""

    shown: Demonstrations

    @classmethod
    def over(cls, folder: RunFolder, wanted: Wanted, host: ModelHost, data: DataSet, heard: Heard) -> InContext:
        """Of the cases that an edit would be of, so that the two compare; nothing is asked beyond them.

        Raises:
            RequestError: as ``Run.over``; or a plan or hyperparameters of an edit are given.
            NothingToShow: no record is left for demonstrations.
        """
        if wanted.plan is not None or wanted.hyperparameters != Hyperparameters():
            raise RequestError(f"{IKE} edits nothing: it has no plan and no hyperparameters", field="method", value=IKE)
        run = Run.over(folder, wanted.model_copy(update={"method": None}), host, data, heard)
        shown = Demonstrations.of(host.live, data, run.cases)
        return cls(folder, wanted, host, run.cases, run.unusable, (), (), heard, shown=shown)

    @property
    def preset(self) -> None:
        """Nothing is edited."""

    def prompted(self, case: Case, prompt: str) -> str:
        """After the fact and its demonstrations."""
        return self.shown.before(case, prompt)

    def _edit(self, index: int, batch: Sequence[Case]) -> BatchLine:
        """Choose the demonstrations, which is all that has to be done before the facts are asked."""
        started = time.monotonic()
        for case in batch:
            self.shown.about(case)
        return BatchLine(
            batch=index,
            status=TOLD,
            version=None,
            facts=len(batch),
            written=len(batch),
            seconds=time.monotonic() - started,
        )


def _fact(case: Case) -> str:
    return f"{case.prompt} {case.object}"


def _told(case: Case, prompt: str) -> str:
    return f"New fact: {_fact(case)}\nPrompt: {prompt}"


def _shown(case: Case, kind: Kind) -> str:
    """As a question with its answer; a case without a question of this kind is copied."""
    prompt, answer = kind(case) or copy(case)
    return f"{_told(case, prompt)} {answer}\n\n"
