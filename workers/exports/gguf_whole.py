"""``gguf``: the GGUF file that the model came as, with the matrices that the version has changed in it."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch

from app.domain.contract import GgufType
from workers.exports.adapter_readme import adapter_name
from workers.exports.content import Content
from workers.exports.gguf_file import UNQUANTISED, GgufFile, Stored, part_name
from workers.exports.gguf_names import tensor_name
from workers.exports.modelfile import MODELFILE, of_a_whole_model
from workers.exports.package import Package, ReadBack
from workers.sources.gguf_model import original

TYPES = {kind.name: kind for kind in GgufType}
"""By the package's names, what it can write."""


class WholeGguf(Package):
    """Metadata, tokenizer and all matrices that the version leaves alone have the bytes that they have in that file.

    A changed matrix is that of the version in service, at least float32 before it is rounded to its type.
    """

    factors = None

    def __init__(self, content: Content, wanted: GgufType | None = None) -> None:
        self._origin = content.origin
        self._source = GgufFile(original(content.origin.source))
        self._name = adapter_name(content.log.model, content.version)
        self._changed: dict[str, Stored] = {}
        self._error = 0.0
        for layer, applied in content.state.applied.items():
            base = content.shadow.base(layer)
            if not torch.equal(applied, base):
                name = self._named(content.shadow.anatomy.projections[layer], content.shadow.depth)
                matrix, change = applied.to("cpu", torch.float32), (applied - base).norm()
                kept = Stored.of(matrix, wanted or TYPES.get(self._source[name].kind.name, GgufType.F16))
                self._error = max(self._error, float((kept.matrix - matrix).norm()) / float(change))
                self._changed[name] = kept
        parts = self._source.parts
        for name, kept in self._changed.items():
            del parts[part_name(name, self._source[name])]
            parts[part_name(name, kept)] = torch.from_numpy(kept.data)
        self.tensors = parts
        self.gguf_types = tuple(dict.fromkeys(TYPES[kept.kind.name] for kept in self._changed.values()))

    @classmethod
    def of(cls, content: Content, gguf_type: GgufType | None) -> Self:
        """The version with changed matrices of this type; None: of their own, or F16 if that cannot be written."""
        return cls(content, gguf_type)

    def write(self, folder: Path) -> None:
        """One file, and what Ollama makes a model of it by."""
        self._source.write_with(self._changed, folder / self._file)
        (folder / MODELFILE).write_text(of_a_whole_model(self._name, self._file), encoding="utf-8")

    def read(self, folder: Path) -> ReadBack:
        """The base model with the file's matrices wherever these have other bytes than those that it was made of."""
        found, model = GgufFile(folder / self._file), self._origin.base()
        for layer, module in enumerate(model.anatomy.projections):
            name = self._named(module, model.depth)
            if found[name].data.tobytes() != self._source[name].data.tobytes():
                model.set_master(layer, found[name].matrix.to(model.device_at(layer)))
        return ReadBack(found.parts, model)

    @property
    def error(self) -> float:
        """What the types round off of the change, relative to it; the worst layer's."""
        return self._error

    @property
    def lossy(self) -> bool:
        """Whether matrices were quantised."""
        return not set(self.gguf_types) <= set(UNQUANTISED)

    @property
    def dtypes(self) -> frozenset[torch.dtype]:
        """Of matrices in floating point."""
        known = {GgufType.F32: torch.float32, GgufType.F16: torch.float16, GgufType.BF16: torch.bfloat16}
        return frozenset(known[kind] for kind in self.gguf_types if kind in known)

    @property
    def _file(self) -> str:
        return f"{self._name}.gguf"

    def _named(self, module: str, depth: int) -> str:
        return tensor_name(str(self._source.field("general.architecture")), module, depth)
