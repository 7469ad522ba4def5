"""The benchmark of snapshots on disk counts what was written and what stays."""

from __future__ import annotations

from pathlib import Path

from benchmarks.snapshot_disk import Row, bounds, measure


def test_all_that_were_written_and_those_that_stay_are_counted(tmp_path: Path) -> None:
    rows = measure(tmp_path, "atlas-gpt2", versions=17, every=4)
    assert [(row.versions, row.written, row.kept) for row in rows] == [(4, 1, 1), (8, 2, 2), (16, 4, 3)]
    assert rows[0].written_mb == rows[0].kept_mb > 0
    assert rows[-1].kept_mb < rows[-1].written_mb
    stay = tmp_path / "log" / "atlas-gpt2" / "snapshots"
    assert rows[-1].kept_mb * 1e6 == sum(path.stat().st_size for path in stay.rglob("*") if path.is_file())
    assert [row.farthest for row in rows] == [3, 3, 7]


def test_a_log_that_keeps_most_of_its_snapshots_fails_the_check() -> None:
    row = Row(1984, 31, 773.1, 9, 313.7, 93.2, 511)
    assert all(bound.met for bound in bounds([row]))
    assert not all(bound.met for bound in bounds([Row(1984, 31, 773.1, 31, 773.1, 93.2, 63)]))
