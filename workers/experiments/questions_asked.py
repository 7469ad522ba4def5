"""What data sets ask beyond their facts (``app/domain/imports/ripples.py``), answered in greedily decoded free text.

A question is answered if the first line of the text is one of its right answers (exact), or holds one (holds), both
normalised as in ``free_text``. A test is passed if any of its questions is answered, or every one, as its data set has
it: a case of MQuAKE counts if any of its multi-hop questions is answered (Zhong et al. 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import mean

from app.domain.contract import UnusableRecord
from app.domain.errors import PalimpsestError
from app.domain.imports.reading import Rippled
from app.domain.imports.records import Unusable
from app.domain.imports.ripples import Question, Ripple, RippleKind
from app.domain.places import Place
from workers.editing.model.editable_model import EditableModel
from workers.editing.text.model_text import ModelText
from workers.experiments.answers import Kept
from workers.experiments.free_text import TOKENS, Spoken, first_line, holds, normalised
from workers.experiments.summary import Share
from workers.questions.decoding import greedy
from workers.questions.prompt_tokens import prompt_ids

QUESTION_MARKS = ("?", "？", "؟")


class RippleAnswers(Kept):
    """How one test came out. texts: first lines, a question each. known: whether the model answers what it must know
    beforehand; None where that was not asked."""

    kind: RippleKind
    exact: bool
    holds: bool
    known: bool | None
    texts: tuple[str, ...]


class RecordAnswers(Kept):
    """All tests of one record."""

    record: int
    tests: tuple[RippleAnswers, ...]


class Asked(Kept):
    """Tests of one kind, over records; ``tests``: how many there are."""

    kind: RippleKind
    tests: int
    unedited: Spoken
    edited: Spoken


def put(question: str) -> str:
    """The prompt for a question: a question is put as one, the beginning of a sentence as it is."""
    return f"Question: {question}\nAnswer:" if question.rstrip().endswith(QUESTION_MARKS) else question


def resting_on(rippled: Sequence[Rippled], places: Sequence[Place]) -> list[Rippled]:
    """Those records whose facts all stand at these places, in the order in which the last of their facts comes."""
    order = {place: number for number, place in enumerate(places)}
    whole = [each for each in rippled if each.places <= order.keys()]
    return sorted(whole, key=lambda each: max(order[place] for place in each.places))


def askable(
    editable: EditableModel, rippled: Sequence[Rippled], most: int
) -> tuple[list[Rippled], list[UnusableRecord]]:
    """The first ``most`` records with the tests that this model can be asked; and why it cannot be asked the others."""
    chosen: list[Rippled] = []
    refused: list[UnusableRecord] = []
    for record in rippled:
        if len(chosen) == most:
            break
        tests: list[Ripple] = []
        for test in record.ripples:
            fitting, reasons = _fitting(editable, test)
            tests += [] if fitting is None else [fitting]
            refused += [why.at(record.index, None) for why in reasons]
        if tests:
            chosen.append(Rippled(record.index, record.places, tuple(tests)))
    return chosen, refused


def _fitting(editable: EditableModel, test: Ripple) -> tuple[Ripple | None, list[Unusable]]:
    """The test with the questions that fit the model, if it still asks the same; and why the others do not."""
    words, refused = ModelText.of(editable.tokenizer), dict[Question, Unusable]()
    for question in (*test.questions, *test.known):
        try:
            prompt_ids(words, put(question.text), editable.window - 1, test.kind.value)
        except PalimpsestError as error:
            refused[question] = Unusable.of(error)
    good = tuple(each for each in test.questions if each not in refused)
    spoilt = not good or (test.every and refused) or not refused.keys().isdisjoint(test.known)
    return None if spoilt else replace(test, questions=good), list(refused.values())


def ask(editable: EditableModel, rippled: Sequence[Rippled], *, conditions: bool = False) -> tuple[RecordAnswers, ...]:
    """Ask all tests; ``conditions``: also what must be known before, which is for the unedited model."""
    tests = [test for record in rippled for test in record.ripples]
    questions = [[*test.questions, *(test.known if conditions else ())] for test in tests]
    prompts = list(dict.fromkeys(put(each.text) for of_test in questions for each in of_test))
    texts = greedy(editable.model, editable.tokenizer, prompts, TOKENS) if prompts else []
    said = {prompt: first_line(text) for prompt, text in zip(prompts, texts, strict=True)}
    return tuple(
        RecordAnswers(
            record=record.index, tests=tuple(_came_out(test, said, conditions=conditions) for test in record.ripples)
        )
        for record in rippled
    )


def by_kind(unedited: Sequence[RecordAnswers], edited: Sequence[RecordAnswers]) -> list[Asked]:
    """Shares by kind, over records that have such tests, each counted once however many it has.

    Only tests count whose conditions the unedited model meets, of records that both were asked.
    """
    before = {record.record: record.tests for record in unedited}
    pairs = [
        list(zip(before[record.record], record.tests, strict=True)) for record in edited if record.record in before
    ]
    return [found for kind in RippleKind if (found := _of_kind(kind, pairs)) is not None]


def _of_kind(kind: RippleKind, pairs: Sequence[Sequence[tuple[RippleAnswers, RippleAnswers]]]) -> Asked | None:
    records = [[pair for pair in record if pair[0].kind is kind and pair[0].known is not False] for record in pairs]
    records = [record for record in records if record]

    def spoken(side: int) -> Spoken | None:
        held = Share.of([mean(pair[side].holds for pair in record) for record in records])
        exact = Share.of([mean(pair[side].exact for pair in record) for record in records])
        return None if held is None or exact is None else Spoken(holds=held, exact=exact)

    then, now = spoken(0), spoken(1)
    if then is None or now is None:
        return None
    return Asked(kind=kind, tests=sum(map(len, records)), unedited=then, edited=now)


def _came_out(test: Ripple, said: Mapping[str, str], *, conditions: bool) -> RippleAnswers:
    passed = all if test.every else any
    return RippleAnswers(
        kind=test.kind,
        exact=passed(_answered(each, said, _is) for each in test.questions),
        holds=passed(_answered(each, said, holds) for each in test.questions),
        known=all(_answered(each, said, holds) for each in test.known) if conditions else None,
        texts=tuple(said[put(each.text)] for each in test.questions),
    )


def _answered(question: Question, said: Mapping[str, str], same: Callable[[str, str], bool]) -> bool:
    text = said[put(question.text)]
    return any(same(text, answer) for answer in question.answers if normalised(answer))


def _is(text: str, answer: str) -> bool:
    return normalised(text) == normalised(answer)


def rows(found: Sequence[Asked], shown: Callable[[Share], str]) -> Iterator[tuple[str, ...]]:
    """Cells of a table: kind, records, tests, then holds and exact, unedited and edited."""
    for each in found:
        shares = (each.unedited.holds, each.edited.holds, each.unedited.exact, each.edited.exact)
        yield (each.kind.value, str(each.edited.holds.cases), str(each.tests), *map(shown, shares))
