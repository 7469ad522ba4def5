"""What several of these tests ask."""

from __future__ import annotations

import pytest

from tests.support.tiny_models import tiny
from workers.editing.model.editable_model import EditableModel


@pytest.fixture(scope="session")
def editable() -> EditableModel:
    """A tiny model with random weights."""
    found = tiny("gpt2")
    return EditableModel.of(found.model, found.tokenizer)
