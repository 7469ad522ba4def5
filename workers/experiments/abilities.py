"""General abilities: tasks of EleutherAI's lm-evaluation-harness (GLUE, MMLU, ...), asked of a model in memory.

The harness (Gao et al. 2024, https://github.com/EleutherAI/lm-evaluation-harness) is the package ``lm_eval``, of the
extra ``abilities``.
"""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.domain.errors import RequestError
from app.domain.log.reader import LogReader
from workers.editing.model.editable_model import EditableModel
from workers.experiments.answers import Kept
from workers.versions.replay import state_at

ROWS = 4
"""Of one forward pass: the harness keeps all its log-probabilities."""

RESAMPLED = 1000
"""How often questions are drawn for the standard error of a figure that is no mean, such as F1."""

SEED, SHOTS_SEED = 0, 1234
"""The harness's own: of Python's random numbers; of all others, and of the choice of examples in a prompt."""

FIELD = "tasks"


class Score(Kept):
    """One figure of a task, by the harness's names of both.

    error: its standard error; None where the harness knows none. questions: how many it is over.
    """

    task: str
    metric: str
    value: float
    error: float | None
    questions: int


class Ability(Kept):
    """What came of one name that was asked for: a task, a group such as ``mmlu``, or a tag such as ``glue``.

    limit: questions a task at most; None: all of them. harness: its version. scores: of the task, the group, or each
    task of the tag. parts: of the tasks and groups inside the group.
    """

    limit: int | None
    harness: str
    scores: tuple[Score, ...]
    parts: tuple[Score, ...] = ()


@dataclass(frozen=True, slots=True)
class Tasks:
    """Which tasks are asked. folder: of task files (YAML) beside those that come with the harness."""

    names: tuple[str, ...]
    folder: Path | None = None
    limit: int | None = None


class Harness:
    """The harness with its tasks at hand: their questions have been read."""

    def __init__(self, tasks: Tasks) -> None:
        """Read the tasks, and their questions from where each task has them: files, or the hub.

        Raises:
            RequestError: the extra is not installed; or a task is not known or cannot be loaded.
        """
        try:
            import lm_eval
            from lm_eval.evaluator import evaluate
            from lm_eval.models.huggingface import HFLM
        except ImportError:
            detail = "tasks are asked by lm-evaluation-harness: install palimpsest[abilities]"
            raise RequestError(detail, field=FIELD, value=tasks.names[0]) from None
        self.tasks = tasks
        self.version: str = lm_eval.__version__
        self._evaluate: Callable[..., Mapping[str, Any]] = evaluate
        self._wrapped: Callable[..., Any] = HFLM
        self._manager = _manager(tasks)

    def ask(self, editable: EditableModel, name: str) -> Ability:
        """Ask a model one of the tasks. Its weights are neither copied nor changed.

        Raises:
            RequestError: the task asks for what a causal model of text cannot do, or runs code that a model writes.
        """
        # A module tree and a tokenizer for the harness alone: it ties weights, and chooses a token to pad with.
        model, words = editable.shadow(()).model, copy.deepcopy(editable.tokenizer)
        try:
            with redirect_stdout(sys.stderr):
                found = self._evaluate(
                    self._wrapped(pretrained=model, tokenizer=words, batch_size=ROWS, max_length=editable.window),
                    self._loaded(name),
                    limit=self.tasks.limit,
                    bootstrap_iters=RESAMPLED,
                    log_samples=False,
                )
        except (NotImplementedError, ValueError) as error:
            raise RequestError(f"the task cannot be asked: {error}", field=FIELD, value=name) from error
        return self._ability(found)

    def _loaded(self, name: str) -> Any:
        """The task, each time the same, as the harness's own ``simple_evaluate`` makes it: seeds, no shots by default.

        That function would also describe the machine, by way of several processes.
        """
        random.seed(SEED)
        np.random.seed(SHOTS_SEED)
        torch.manual_seed(SHOTS_SEED)
        loaded = self._manager.load([name])
        for task in loaded["tasks"].values():
            if task.get_config("num_fewshot") is None:
                task.set_config(key="num_fewshot", value=0)
            task.set_fewshot_seed(seed=SHOTS_SEED)
        return loaded

    def _ability(self, found: Mapping[str, Any]) -> Ability:
        scores = {task: tuple(_scores(task, figures)) for task, figures in found["results"].items()}
        inside = {part for group, parts in found["group_subtasks"].items() if scores.get(group) for part in parts}
        return Ability(
            limit=self.tasks.limit,
            harness=self.version,
            scores=tuple(each for task, of_task in scores.items() if task not in inside for each in of_task),
            parts=tuple(each for task, of_task in scores.items() if task in inside for each in of_task),
        )


def at_version(live: EditableModel, log: LogReader, version: int) -> EditableModel:
    """A version of a model, which shares with the live one all weights that no edit has changed.

    Raises:
        UnknownVersion: there is no such version. CompactedVersion: its tensors were removed.
        DamagedVersion: a version does not have the bytes that were committed.
    """
    state = state_at(live, log, log.replay(version))
    shadow = live.shadow(live.masters.keys() | state.masters.keys())
    state.put_on(shadow)
    return shadow


def _manager(tasks: Tasks) -> Any:
    """The harness's own index of tasks: that of the folder alone, if it has them all, else with those that come along.

    Raises:
        RequestError: one is not known, or cannot be loaded.
    """
    from lm_eval.tasks import TaskManager

    folder = None if tasks.folder is None else str(tasks.folder)
    manager = TaskManager(include_path=folder, include_defaults=folder is None)
    if not set(tasks.names) <= set(manager.all_subtasks):
        manager = TaskManager(include_path=folder)  # which reads thousands of files
    for name in tasks.names:
        if name not in manager.all_tasks:
            raise RequestError("lm-evaluation-harness knows no such task", field=FIELD, value=name)
        try:
            manager.load([name])
        except Exception as error:  # the edge of others' code: a task's own, and what gets its questions
            raise RequestError(f"the task cannot be loaded: {error}", field=FIELD, value=name) from error
    return manager


def _scores(task: str, figures: Mapping[str, Any]) -> Iterator[Score]:
    """The figures of a task, which the harness has as ``metric,filter`` and ``metric_stderr,filter``."""
    for key, value in figures.items():
        metric, comma, chosen = key.partition(",")
        if comma and not metric.endswith("_stderr") and isinstance(value, int | float):
            error = figures.get(f"{metric}_stderr,{chosen}")
            yield Score(
                task=task,
                metric=metric if chosen == "none" else f"{metric} ({chosen})",
                value=float(value),
                error=float(error) if isinstance(error, int | float) else None,
                questions=figures["sample_len"],
            )
