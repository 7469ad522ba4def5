"""What the services of this folder share: a nursery for workers, and a tiny model with its statistics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service.service import Nursery
from tests.support.tiny_models import save_tiny
from tests.support.worker_bench import opened


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def statistics(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, as a first start does."""
    data = tmp_path_factory.mktemp("first-start")
    with opened(model, data):
        [made] = (data / "statistics").iterdir()
    return made
