"""The commands of `palimpsest` that need torch. They join it as entry points, by these names."""

from __future__ import annotations

from workers.commands.abilities import abilities
from workers.commands.analyse import analyse
from workers.commands.apply import apply
from workers.commands.compare import compare
from workers.commands.evaluate import evaluate
from workers.commands.export import export
from workers.commands.follow import follow
from workers.commands.merge_statistics import merge_statistics
from workers.commands.onboard import onboard
from workers.commands.statistics import statistics
from workers.commands.trace import trace

__all__ = [
    "abilities",
    "analyse",
    "apply",
    "compare",
    "evaluate",
    "export",
    "follow",
    "merge_statistics",
    "onboard",
    "statistics",
    "trace",
]
