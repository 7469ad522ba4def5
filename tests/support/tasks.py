"""Task files of lm-evaluation-harness: questions with several answers, of which one is right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

Question = tuple[str, Sequence[str], int]
"""A prompt, its answers, and the index of the right one."""


def write_task(folder: Path, name: str, questions: Sequence[Question], *, tag: str | None = None) -> Path:
    """A task of these questions: its file, and its questions beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"question": prompt, "choices": list(answers), "right": right} for prompt, answers, right in questions]
    data = folder / f"{name}.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    task = {
        "task": name,
        **({} if tag is None else {"tag": tag}),
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "right",
        "metric_list": [
            {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in ("acc", "acc_norm")
        ],
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(task), encoding="utf-8")
    return path


def write_group(folder: Path, name: str, tasks: Sequence[str]) -> None:
    """A group of tasks, whose accuracy is that over all questions."""
    aggregate = {"metric": "acc", "weight_by_size": True}
    group = {"group": name, "task": list(tasks), "aggregate_metric_list": [aggregate], "metadata": {"version": 1}}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(group), encoding="utf-8")
