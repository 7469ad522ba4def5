"""Whatever was edited, reverted and rolled back, in whatever order: what is in force is what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.contract import FactKey
from app.domain.history.history import History
from app.domain.history.logged_version import LoggedVersion
from app.domain.manifest import Draft, LoggedFact, Manifest
from app.domain.places import Column
from tests.support.logs import fact, key

Held = dict[str, tuple[FactKey, str]]
"""Subject -> the fact in force, and its object."""

OBJECTS = st.sampled_from("ABC")
STEPS = st.lists(
    st.dictionaries(st.sampled_from(["Lyon", "Nice", "Oslo"]), OBJECTS, min_size=1, max_size=3)  # an edit
    | st.integers(0, 9)  # a rollback to that version, modulo those there are
    | st.floats(0, 0.99),  # a revert of that fact in force
    max_size=12,
)


@dataclass
class Told:
    """The history as a plain story: after each version, the facts ever written to it and not reverted, in order."""

    manifests: list[Manifest] = field(default_factory=list)
    stories: list[list[tuple[str, FactKey, str]]] = field(default_factory=lambda: [[]])

    def held(self) -> Held:
        return {subject: (which, obj) for subject, which, obj in self.stories[-1]}

    def edit(self, objects: dict[str, str]) -> None:
        version = len(self.stories)
        facts = tuple(fact(subject, obj=obj) for subject, obj in objects.items())
        retired = [(held.version, held.index) for subject, (held, _) in self.held().items() if subject in objects]
        new = [(subject, key(version, index), obj) for index, (subject, obj) in enumerate(objects.items())]
        self._next(Draft(version=version, facts=facts, retired=tuple(retired), epoch=1), self.stories[-1] + new)

    def roll_back(self, to: int) -> None:
        self._next(Draft(version=len(self.stories), kind="rollback", to=to, epoch=1), self.stories[to])

    def revert(self, which: FactKey) -> None:
        left = [told for told in self.stories[-1] if told[1] != which]
        self._next(Draft(version=len(self.stories), kind="revert", reverted=(which,), epoch=1), left)

    def _next(self, draft: Draft, story: list[tuple[str, FactKey, str]]) -> None:
        self.manifests.append(Manifest.of(draft, created=datetime(2026, 1, 1, tzinfo=UTC), parent="0" * 64, files={}))
        self.stories.append(story)


def tellings(steps: list[dict[str, str] | int | float]) -> Iterator[Told]:
    told = Told()
    for step in steps:
        if isinstance(step, dict):
            told.edit(step)
        elif isinstance(step, int):
            told.roll_back(step % len(told.stories))
        elif held := told.held():
            told.revert([which for which, _ in held.values()][int(step * len(held))])
        else:
            continue
        yield told


@given(STEPS)
@settings(max_examples=60)
def test_facts_in_force_and_previous_keys_belong_together(steps: list[dict[str, str] | int | float]) -> None:
    for told in tellings(steps):
        history, head = History(told.manifests), len(told.manifests)
        held = told.held()
        assert {each.fact.subject: (each.key, each.fact.object) for each in history.facts(head)} == held
        keys: set[Column] = set()
        for term in history.terms(head):
            mine = {Column(term.version, index) for index in range(len(told.manifests[term.version - 1].facts))}
            keys = (keys - term.retired) | {column for column in mine if column.position not in term.taken_out}
        assert keys == {Column(which.version, which.index) for which, _ in held.values()}


@given(STEPS)
@settings(max_examples=60)
def test_an_edit_appends_one_term_and_a_rollback_finds_the_same_ones(steps: list[dict[str, str] | int | float]) -> None:
    for told in tellings(steps):
        history, head = History(told.manifests), len(told.manifests)
        last = told.manifests[-1]
        if last.to is not None:
            assert history.terms(head) == history.terms(last.to)
            assert history.facts(head) == history.facts(last.to)
        elif last.kind == "edit":
            *before, added = history.terms(head)
            assert tuple(before) == history.terms(head - 1)
            assert (added.version, added.taken_out) == (head, frozenset())


@given(STEPS)
@settings(max_examples=60)
def test_what_a_snapshot_covers_is_what_comparing_all_terms_says(steps: list[dict[str, str] | int | float]) -> None:
    for told in tellings(steps):
        history, head = History(told.manifests), len(told.manifests)
        versions = [LoggedVersion(history, head)]
        versions += [versions[0].without([which]) for which, _ in told.held().values()]
        for version, earlier in product(versions, range(head + 1)):
            theirs = history.terms(earlier)
            covered = len(theirs) if version.terms[: len(theirs)] == theirs else None
            assert version.covered_at(earlier) == covered
            assert version.at_most_covered_at(earlier) >= (covered or 0)


def test_a_logged_fact_counts_by_its_index_where_it_names_no_column() -> None:
    told = Told()
    told.edit({"Lyon": "A", "Nice": "B"})
    told.revert(key(1, 0))
    [term] = History(told.manifests).terms(2)
    assert term.taken_out == {0}
    assert [type(held.fact) for held in term.facts] == [LoggedFact]
