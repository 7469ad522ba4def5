"""What every format has in common: files that are written, and read back as a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from workers.editing.model.editable_model import EditableModel
from workers.exports.content import Content
from workers.exports.low_rank import Factored


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What is in a folder: its tensors, and the model that a user gets by loading it."""

    tensors: Mapping[str, Tensor]
    model: EditableModel


class Package(ABC):
    """A version in one format.

    tensors: what the files hold, by the names that they have there.
    factors: by layer, the factors among them; None of a whole model.
    adapter: the name to load it under beside the base model, if it is an adapter.
    """

    tensors: Mapping[str, Tensor]
    factors: Mapping[int, Factored] | None
    adapter: str | None = None

    @abstractmethod
    def __init__(self, content: Content) -> None:
        """Make the tensors; nothing is written yet."""

    @abstractmethod
    def write(self, folder: Path) -> None:
        """Write the files into an empty folder.

        Raises:
            OSError, safetensors.SafetensorError: they could not be written.
        """

    @abstractmethod
    def read(self, folder: Path) -> ReadBack:
        """Load the files as a user would: nothing is taken from the tensors that were written."""

    @property
    def rank(self) -> int | None:
        """The largest of the factors' ranks."""
        return None if self.factors is None else max((each.rank for each in self.factors.values()), default=0)

    @property
    def error(self) -> float | None:
        """The largest of the factors' errors."""
        return None if self.factors is None else max((each.error for each in self.factors.values()), default=0.0)

    @property
    def cut(self) -> bool:
        """Whether any rank was too small for its change."""
        return self.factors is not None and any(each.cut for each in self.factors.values())
