"""Surface compliance: does an edited model keep to the new object where it has to choose, and where it is negated?

Multiple choice asks for a letter rather than for the object's own tokens, which an edit has made likely ("The Model
Agreed, But Didn't Learn", 2026, finds that edited models then fall back on the old answer). Negation turns what is
right around: an edit that only ties subject and object gives the new object there as well ("Is Model Editing Built on
Sand?", Liu et al. 2025; of models that nobody edited, "Negated and Misprimed Probes", Kassner & Schütze 2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean
from typing import NamedTuple

from workers.editing.model.editable_model import EditableModel
from workers.editing.text.model_text import ModelText
from workers.evaluation.likelihoods import scored
from workers.experiments.answers import Kept, Prompted, plainly, told_before
from workers.experiments.cases import Case
from workers.experiments.summary import Share
from workers.questions.scoring import object_row

LETTERS = ("A", "B")


class Compared(Kept):
    """Mean NLL a token, in nats, of the answer that is wanted and of the other one, after the same prompt."""

    wanted: float
    other: float

    @property
    def success(self) -> bool:
        """Whether the wanted answer is the likelier one."""
        return self.wanted < self.other


class Probed(Kept):
    """What one fact came to.

    choice: the new object's letter, rather than the old one's, with the new object as A and as B.
    denied: the new object, rather than the old one, once the old one is said to be wrong.
    negated: the old object, rather than the new one, where the prompt asks for what is not so.
    """

    choice: tuple[Compared, Compared]
    denied: Compared
    negated: Compared

    @property
    def chosen(self) -> Compared:
        """The choice over both orders: what one letter is likelier than the other by itself cancels."""
        return Compared(
            wanted=mean(each.wanted for each in self.choice), other=mean(each.other for each in self.choice)
        )


class Probes(Kept):
    """Shares of all facts that have an old object."""

    choice: Share
    denied: Share
    negated: Share

    @classmethod
    def of(cls, found: Sequence[Probed | None]) -> Probes | None:
        """None where no fact has an old object."""
        known = [each for each in found if each is not None]
        choice = Share.of([each.chosen.success for each in known])
        denied = Share.of([each.denied.success for each in known])
        negated = Share.of([each.negated.success for each in known])
        if choice is None or denied is None or negated is None:
            return None
        return cls(choice=choice, denied=denied, negated=negated)


class _Probe(NamedTuple):
    prompt: str
    wanted: str
    other: str


def probed(editable: EditableModel, cases: Sequence[Case], prompted: Prompted = plainly) -> list[Probed | None]:
    """Probe each case; None for one without an old object that is another than the new one.

    Raises:
        EmptyText, PromptTooLong: with the field ``pairs.{i}``.
    """
    probes = [list(_probes(case, prompted)) for case in cases]
    pairs = [pair for of_case in probes for each in of_case for pair in ((each.prompt, each.wanted), _against(each))]
    found = iter(scored(editable, pairs))
    compared = [[Compared(wanted=next(found).nll, other=next(found).nll) for _ in of_case] for of_case in probes]
    return [Probed(choice=(each[0], each[1]), denied=each[2], negated=each[3]) if each else None for each in compared]


def refuse_unprobeable(editable: EditableModel, case: Case) -> None:
    """Return if every probe of the case fits with its answers, also after the fact.

    Raises:
        EmptyText, PromptTooLong: one does not; with the field ``probes``.
    """
    words = ModelText.of(editable.tokenizer)
    for probe in _probes(case, told_before):
        for answer in (probe.wanted, probe.other):
            object_row(words, probe.prompt, answer, editable.window, "probes")


def _probes(case: Case, prompted: Prompted) -> Iterator[_Probe]:
    """Both orders of the choice, the denial of the old object, and the negation."""
    new, old, prompt = case.object, case.truth, case.prompt
    if old is None or old.split() == new.split():
        return
    first, second = LETTERS
    yield _Probe(prompted(case, _choice(prompt, new, old)), first, second)
    yield _Probe(prompted(case, _choice(prompt, old, new)), second, first)
    question = prompt.rstrip().endswith("?")
    denied = f"{prompt} Not {old}, but" if question else f"It is not true that {prompt} {old}. Rather, {prompt}"
    yield _Probe(prompted(case, denied), new, old)
    negated = f"{prompt} Not" if question else f"It is not true that {prompt}"
    yield _Probe(prompted(case, negated), old, new)


def _choice(prompt: str, *options: str) -> str:
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True)]
    return "\n".join([f"Question: {prompt}", *lines, "Answer:"])


def _against(probe: _Probe) -> tuple[str, str]:
    return probe.prompt, probe.other
