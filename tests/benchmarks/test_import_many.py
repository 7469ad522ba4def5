"""The benchmark of large imports: what it counts, what it judges, and that it catches a client half-way."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.contract import ImportFormat
from app.domain.imports.reading import read
from app.domain.log.reader import LogReader
from benchmarks.import_many import MODEL, Row, bounds, imported, killed, peak_mb, sent, service, write_facts

FEW = Row("few", 1000, 5.0, 200.0, 1, 80.0, 90.0, 70.0, 2.5, 0, 0)
MANY = replace(FEW, part="many", facts=10_000, jobs=10, client_mb=88.0, front_end_mb=110.0)


def test_growth_and_facts_that_are_lost_or_there_twice_fail_the_check() -> None:
    assert [bound.met for bound in bounds([FEW, MANY, MANY])] == [True] * 4
    others = [replace(MANY, client_mb=105.0), replace(MANY, front_end_mb=118.0)]
    others += [replace(MANY, twice=1), replace(MANY, missing=1)]
    for at, other in enumerate(others):
        assert [bound.met for bound in bounds([FEW, MANY, other])] == [place != at for place in range(4)]


def test_its_facts_can_all_be_used(tmp_path: Path) -> None:
    write_facts(tmp_path / "facts", 300, 0)
    found = read((tmp_path / "facts").read_bytes())
    assert (found.format, len({each.fact.subject for each in found.facts})) == (ImportFormat.FACTS, 300)
    assert found.unusable == ()
    assert {(len(each.fact.paraphrases), len(each.fact.neighbours)) for each in found.facts} == {(2, 2)}


def test_the_most_memory_is_told_by_the_system(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n")
    assert peak_mb(tmp_path / "status") == 2.0
    assert peak_mb(Path(f"/proc/{os.getpid()}/status")) > 10


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2,000 of 10,000 facts sent.\n", 2000),
        ("500 of 900 facts sent.", 500),
        ("1 of 2 jobs ended.", None),
        ("", None),
    ],
)
def test_a_clients_lines_say_how_far_it_is(line: str, told: int | None) -> None:
    assert sent(line) == told


def test_a_client_is_caught_half_way_and_the_next_one_goes_on(tmp_path: Path) -> None:
    file, facts = tmp_path / "facts.jsonl", 2500
    write_facts(file, facts, 0)
    with service(tmp_path / "data") as at:
        key = killed(at, file, tmp_path / "killed", facts)
        assert not (tmp_path / "killed").exists(), "it came to its end"
        row = imported(at, "broken off", file, facts, "--idempotency-key", key)
        assert (row.jobs, row.twice, row.missing) == (3, 0, 0)
        assert row.client_mb > 30
        again = imported(at, "another import", file, facts)
        assert (again.jobs, again.twice, again.missing) == (6, facts, 0), "what is there twice is counted"
        assert len(LogReader(at.log_dir, MODEL).facts_in_force()) == facts
