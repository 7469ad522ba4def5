"""Whatever starts a process or loads a bundled model has a mark, by which `make quick` leaves it out."""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest

from tests.support.marks import ALONE, BUNDLED, MODULES, PROCESSES, UnmarkedProcess, marks_of, put_marks


def marks(request: pytest.FixtureRequest) -> set[str]:
    return {mark.name for mark in request.node.iter_markers()} & {BUNDLED, PROCESSES}


def test_a_test_that_uses_nothing_of_the_kind_has_no_mark(request: pytest.FixtureRequest) -> None:
    assert marks(request) == set()


def test_a_fixture_puts_the_mark_on(request: pytest.FixtureRequest, redis_url: str) -> None:
    assert marks(request) == {PROCESSES}


@pytest.mark.parametrize(("fixture", "mark"), ALONE.items())
def test_a_test_that_uses_the_browser_or_the_fleet_is_marked_so_and_as_starting_a_process(
    fixture: str, mark: str
) -> None:
    put: list[str] = []
    item = SimpleNamespace(fixturenames=(fixture,), add_marker=put.append, getparent=lambda _: None)
    put_marks([cast("pytest.Item", item)])
    assert set(put) == {mark, PROCESSES}


@pytest.mark.parametrize("name", MODULES)
def test_a_file_that_imports_a_module_or_something_of_it_has_its_mark(name: str) -> None:
    module, part = import_module(name), type("Part", (), {"__module__": f"{name}.deeper"})
    for imported in (module, part):
        file = ModuleType("test_something")
        file.__dict__["imported"] = imported
        assert set(marks_of(file)) == {MODULES[name]}


def test_a_process_is_refused_to_a_test_without_the_mark(request: pytest.FixtureRequest) -> None:
    with pytest.raises(UnmarkedProcess, match=request.node.name):
        os.system("true")
