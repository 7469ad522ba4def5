"""What every format has in common: files that are written, and read back as a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from app.domain.contract import GgufType
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
    adapter: the name to load it under beside the base model, if it is an adapter that is loaded by name.
    gguf_types: what changed matrices are kept as, of a whole GGUF file.
    """

    tensors: Mapping[str, Tensor]
    factors: Mapping[int, Factored] | None
    adapter: str | None = None
    gguf_types: tuple[GgufType, ...] = ()

    @classmethod
    def of(cls, content: Content, gguf_type: GgufType | None) -> Self:
        """The version in this format; what a GGUF file's changed matrices are kept as is nothing to the others."""
        return cls(content)

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
    def lossy(self) -> bool:
        """Whether it may differ from the version by more than rounding: any rank was too small for its change."""
        return self.factors is not None and any(each.cut for each in self.factors.values())

    @property
    def dtypes(self) -> frozenset[torch.dtype]:
        """What weights were rounded to, beside the dtype that they have in service."""
        return frozenset()
