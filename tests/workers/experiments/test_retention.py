"""Facts that are edited again, and facts of one subject."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.contract import Fact
from tests.workers.experiments.test_cases import FLAT
from tests.workers.experiments.test_summary import answered
from workers.experiments.answers import CaseAnswers
from workers.experiments.cases import Case, DataSet
from workers.experiments.retention import Retention, standing, superseded
from workers.experiments.rewrites import Rewrite


def case(subject: str, object_: str, prompt: str = "{} lies in", relation: str | None = None) -> Case:
    fact = Fact(subject=subject, prompt=prompt, object=object_, previous="France")
    return replace(Case.of(fact), rewrite=Rewrite(relation))


def own(nll: float, *, exact: bool = True, other: float = 2.0) -> CaseAnswers:
    return CaseAnswers(own=answered(nll, other, greedy=(1, 2 if exact else 3)), paraphrases=(), neighbours=())


def test_a_fact_of_which_something_else_is_said_later_is_superseded() -> None:
    cases = [case("Lyon", "Japan"), case("Oslo", "Japan"), case("lyon", "Oman"), case("Lyon", "Oman", "{} is near")]
    assert superseded(cases) == (0,)
    assert superseded(cases[:2]) == ()


def test_what_is_said_again_at_last_stands() -> None:
    assert superseded([case("Lyon", "Japan"), case("Lyon", "Oman"), case("Lyon", "Japan")]) == (1,)


def test_a_relation_that_the_data_set_names_stands_for_all_of_its_prompts() -> None:
    one, two = case("Lyon", "Japan", relation="P17"), case("Lyon", "Oman", "{} is located in", relation="P17")
    assert superseded([one, two]) == (0,)
    assert superseded([one, replace(two, rewrite=Rewrite("P30"))]) == ()


def test_those_that_stand_are_the_others_in_order() -> None:
    assert standing("abcd", (1, 3)) == ["a", "c"]


class TestRetention:
    CASES = (case("Lyon", "Japan"), case("Oslo", "Japan"), case("Lyon", "Oman"), case("Lyon", "Asia", "{} is part of"))

    def test_tells_superseded_facts_apart(self) -> None:
        found = [own(1.5, exact=False), own(1.0), own(0.5), own(0.5)]
        again = Retention.of(self.CASES, found, found).superseded
        assert again is not None
        assert (again.earlier.mean, again.later.mean, again.later.cases) == (0.0, 1.0, 1)
        still = [own(0.2), own(1.0), own(0.5), own(0.5)]
        again = Retention.of(self.CASES, still, still).superseded
        assert again is not None
        assert (again.earlier.mean, again.later.mean) == (1.0, 0.0)

    def test_tells_subjects_with_several_facts_from_others_and_leaves_superseded_ones_out(self) -> None:
        found = [own(9.0), own(1.0), own(0.5), own(3.0)]
        retention = Retention.of(self.CASES, found, found)
        assert retention.several is not None
        assert retention.single is not None
        assert retention.several.efficacy.success is not None
        assert retention.several.efficacy.success.mean == pytest.approx(0.5)  # Oman holds, Asia does not
        assert retention.several.efficacy.success.cases == 2
        assert retention.single.efficacy.exact.cases == 1

    def test_a_subject_with_one_superseded_fact_has_one_that_stands(self) -> None:
        retention = Retention.of(self.CASES[:3], [own(1.0)] * 3, [own(1.0)] * 3)
        assert retention.several is None

    def test_of_data_without_such_facts_says_so(self) -> None:
        retention = Retention.of(self.CASES[:2], [own(1.0)] * 2, [own(1.0)] * 2)
        assert (retention.superseded, retention.several) == (None, None)


def test_a_data_set_may_edit_a_fact_again_but_not_say_the_same_twice_in_a_row(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    objects = ["English", "Welsh", "Welsh", "English"]
    path.write_text(json.dumps([{**FLAT, "target_new": each} for each in objects]), encoding="utf-8")
    data = DataSet.read(str(path))
    assert [each.object for each in data.cases] == ["English", "Welsh", "English"]
    assert [(each.record, each.code) for each in data.unusable] == [(2, "repeated_fact")]
