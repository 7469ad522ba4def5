"""What was found, as one table: a line for each place and fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.failpoints import Point
from tests.support.crash.findings import Finding

HEADINGS = ("place", "fault", "runs", "N", "N+1", "failed with a reason", "lost", "twice", "damaged")


@dataclass(frozen=True, slots=True)
class Table:
    """The findings of one run."""

    findings: Sequence[Finding]

    def __str__(self) -> str:
        rows = [HEADINGS, *self._rows(), self._totals()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    @property
    def bad(self) -> list[Finding]:
        """Those that must not be."""
        return [finding for finding in self.findings if finding.bad]

    def _rows(self) -> list[tuple[str, ...]]:
        places = [*Point, *(finding.row[0] for finding in self.findings)]
        order = sorted(dict.fromkeys(finding.row for finding in self.findings), key=lambda row: places.index(row[0]))
        return [_row(*row, [finding for finding in self.findings if finding.row == row]) for row in order]

    def _totals(self) -> tuple[str, ...]:
        return _row("all", "", self.findings)


def _row(place: str, fault: str, findings: Sequence[Finding]) -> tuple[str, ...]:
    runs = sum(finding.runs for finding in findings)
    found = Counter(finding.found for finding in findings)
    failed = Counter(code for finding in findings for code in finding.failed)
    reasons = ", ".join(f"{times} {code}" for code, times in sorted(failed.items())) or "-"
    bad = [sum(len(getattr(each, name)) for each in findings) for name in ("losses", "duplicates", "damage")]
    return place, fault, str(runs), str(found["N"]), str(found["N+1"]), reasons, *map(str, bad)
