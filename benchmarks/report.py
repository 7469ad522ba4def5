"""What a benchmark hands over: a table to read, JSON to keep, and whether its bounds were met."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol


class Row(Protocol):
    """A dataclass whose fields say by ``shown`` how they stand in the table."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


def shown(head: str, form: str = "") -> dict[str, str]:
    """Metadata of a row's field: the column's head, and the format of its values."""
    return {"head": head, "form": form}


@dataclass(frozen=True, slots=True)
class Bound:
    """A figure and what it must reach: at least ``limit``, or at most."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the value is within the limit; NaN is not."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        sign, verdict = (">=" if self.at_least else "<="), ("met" if self.met else "MISSED")
        return f"{verdict}: {self.what} {self.value:.3g}, must be {sign} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Report:
    """One run of a benchmark. ``settings`` are what it was run with; ``notes`` what did not go as planned."""

    benchmark: str
    machine: str
    settings: Mapping[str, object]
    rows: Sequence[Row]
    bounds: Sequence[Bound] = ()
    notes: Sequence[str] = ()

    def text(self) -> str:
        """The table, the notes and the bounds."""
        return "\n".join([f"{self.benchmark} on {self.machine}", table(self.rows), *self.notes, *map(str, self.bounds)])

    def write(self, path: Path) -> None:
        """The same as JSON."""
        data = {
            "benchmark": self.benchmark,
            "machine": self.machine,
            "settings": dict(self.settings),
            "rows": [asdict(row) for row in self.rows],
            "bounds": [{**asdict(bound), "met": bound.met} for bound in self.bounds],
            "notes": list(self.notes),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")

    def finish(self, json_file: Path | None, *, check: bool) -> int:
        """Print it, write it, and give the exit code: 1 if ``check`` and a bound was missed."""
        print(self.text(), flush=True)
        if json_file is not None:
            self.write(json_file)
        return int(check and not all(bound.met for bound in self.bounds))


def table(rows: Sequence[Row]) -> str:
    """Rows of one kind as aligned text; a value of None is a dash."""
    if not rows:
        return "(no rows)"
    columns = fields(rows[0])
    cells = [[item.metadata["head"] for item in columns]]
    for row in rows:
        values = [(getattr(row, item.name), item.metadata["form"]) for item in columns]
        cells.append(["-" if value is None else format(value, form) for value, form in values])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers = [not isinstance(getattr(rows[0], item.name), str) for item in columns]
    lines = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
