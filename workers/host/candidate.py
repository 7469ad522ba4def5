"""A version that is computed and measured, and not committed yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.manifest import Draft
from workers.editing.knowledge import KnowledgeBase
from workers.editing.model.editable_model import EditableModel


@dataclass(frozen=True, slots=True)
class Candidate:
    """All that a commit and a publish need; nothing of it is in service, and it may be thrown away.

    shadow: its weights, apart from the live ones. knowledge: facts in force and K_p once it is committed.
    draft, files: what the edit log gets.
    """

    shadow: EditableModel
    knowledge: KnowledgeBase
    draft: Draft
    files: Mapping[str, bytes]
