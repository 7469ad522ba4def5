"""What holds at a version is what was written last."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.domain.log.edit_log import EditLog
from tests.support.logs import MODEL, commit, fact, log_with


@given(st.lists(st.tuples(st.sampled_from(["Lyon", "LYON ", "Nice"]), st.sampled_from("ABC")), max_size=12))
@settings(max_examples=20, deadline=None)
def test_the_last_word_on_a_subject_and_prompt_is_in_force(words: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        log = log_with(Path(root))
        for version, (subject, obj) in enumerate(words, start=1):
            commit(log, version, fact(subject, obj=obj))
        for version in range(len(words) + 1):
            last_words = {subject.strip().casefold(): obj for subject, obj in words[:version]}
            in_force = log.facts_in_force(version)
            assert {held.subject.strip().casefold(): held.object for held in in_force} == last_words
            assert [held.version for held in in_force] == sorted(held.version for held in in_force)


def test_a_fact_is_superseded_within_its_batch_and_keeps_its_source(tmp_path: Path) -> None:
    log = log_with(tmp_path)
    commit(log, 1, fact(obj="Japan"), fact("Nice", obj="Peru", previous="France", id="n1"), fact(obj="Chile"))
    nice, lyon = log.facts_in_force()
    assert (lyon.subject, lyon.object, lyon.version, lyon.job) == ("Lyon", "Chile", 1, "job-1")
    assert (nice.object, nice.previous, nice.id) == ("Peru", "France", "n1")


def test_another_prompt_is_another_fact(tmp_path: Path) -> None:
    log = log_with(tmp_path)
    commit(log, 1, fact(prompt="{} lies in"), fact(prompt="The mayor of {} is"), fact(prompt="{}  Lies in"))
    assert [held.prompt for held in log.facts_in_force()] == ["The mayor of {} is", "{}  Lies in"]


@pytest.mark.parametrize("prompt", ["Lyon lies in", "{} and {}", ""])
def test_a_logged_prompt_has_one_slot(prompt: str) -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        fact(prompt=prompt)


def test_braces_in_text_are_text(tmp_path: Path) -> None:
    odd = fact("{0.__class__}", prompt="{x} {} {y!r}", obj="{z}")
    commit(log_with(tmp_path), 1, odd)
    [held] = EditLog(tmp_path, MODEL).facts_in_force()
    assert (held.subject, held.prompt, held.object) == ("{0.__class__}", "{x} {} {y!r}", "{z}")
