"""What the form of a log line cannot see: a text that was made of a fact, or of an error, before it was handed over."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from app.domain.contract import Fact
from app.domain.problems import error_classes

NodeT = TypeVar("NodeT", bound=ast.AST)

ROOT = Path(__file__).parents[3]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
MADE = {"str", "repr", "format", "model_dump_json", "dumps", "join"}
"""Functions that make a text of something."""
FACTUAL = {*Fact.model_fields, "text", "texts", "fact", "facts", "prompts", "body", "content", "request_json", "value"}
FACTUAL -= {"id"}
SAFE = {"described(error)", "error.detail", "error.strerror", "type(error).__name__", "error['ctx']['error']"}
"""What may be said of an error, where it is not known whose it is. (``ctx`` is of one that reads JSON.)"""
NO_FACTS_AT_HAND = {
    "app/domain/storage/object_storage.py",  # fsspec cannot open a URL
    "app/local/demo.py",  # nothing is logged: it shows its own facts
    "workers/editing/checkpoint.py",  # a model, before it is edited, cannot be read
    "workers/sources/gguf_model.py",  # a GGUF file cannot be read
    "workers/editing/contexts.py",  # a file of the operator's is not JSON
    "workers/editing/descent/compatibility.py",  # a model, before it is edited, cannot be replayed
    "workers/editing/presets/preset.py",  # a file of the operator's is not YAML
    "workers/editing/solving.py",  # torch, of a matrix
    "workers/experiments/abilities.py",  # lm-evaluation-harness, of a task
}
"""Where a sentence may quote an error: its words are of something else."""


def test_no_logger_is_handed_a_text_that_was_made_of_an_object() -> None:
    for place, each in _everything(ast.Call):
        if _last_name(each.func) in LEVELS and _owner(each.func) in ("log", "logger"):
            given = [part for value in (*each.args, *each.keywords) for part in ast.walk(value)]
            calls = {_last_name(part.func) for part in given if isinstance(part, ast.Call)}
            assert not calls & MADE, f"{place}: {ast.unparse(each)}"
            assert not any(isinstance(part, ast.JoinedStr) for part in given), f"{place}: {ast.unparse(each)}"


def test_no_error_of_ours_has_a_facts_text_or_a_strangers_words_in_its_sentence() -> None:
    found = list(_sentences())
    assert len(found) > 100
    for place, sentence in found:
        for part in ast.walk(sentence):
            if isinstance(part, ast.FormattedValue) and place.partition(":")[0] not in NO_FACTS_AT_HAND:
                said = ast.unparse(part.value)
                words = set(re.findall(r"\w+", said))
                assert said in SAFE or not words & (FACTUAL | {"error"}), f"{place}: {ast.unparse(sentence)}"


def _sentences() -> Iterator[tuple[str, ast.expr]]:
    """The first argument of each error of ours, or what is assigned to ``detail`` to be one."""
    ours = {kind.__name__ for kind in error_classes()}
    for place, call in _everything(ast.Call):
        if _last_name(call.func) in ours and call.args:
            yield place, call.args[0]
    for place, assigned in _everything(ast.Assign):
        if ast.unparse(assigned.targets[0]) in ("detail", "reason"):
            yield place, assigned.value


def _everything(kind: type[NodeT]) -> Iterator[tuple[str, NodeT]]:
    """All nodes of a kind in the code of both sides, each with its file and line."""
    for path in (path for side in ("app", "workers") for path in sorted((ROOT / side).rglob("*.py"))):
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(each, kind):
                yield f"{path.relative_to(ROOT)}:{getattr(each, 'lineno', 0)}", each


def _last_name(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]


def _owner(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[0].rpartition(".")[2]
