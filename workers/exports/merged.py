"""``merged``: a Hugging Face folder, the whole model with its tokenizer, in the dtype that it has in service."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from workers.exports.content import Content
from workers.exports.package import Package, ReadBack


class Merged(Package):
    """The model's own files. Loaded again, every weight has the same bits."""

    factors = None
    largest_file: ClassVar[str] = "50GB"
    """A larger model is written as several files with an index."""

    def __init__(self, content: Content) -> None:
        self._origin, self._model = content.origin, content.shadow.model
        self.tensors = self._model.state_dict()

    def write(self, folder: Path) -> None:
        """As transformers does, in safetensors."""
        self._model.save_pretrained(folder, max_shard_size=self.largest_file)
        self._origin.save_tokenizer(str(folder))

    def read(self, folder: Path) -> ReadBack:
        """The folder alone is the model."""
        found = self._origin.load(str(folder))
        return ReadBack(found.model.state_dict(), found)
