"""``gguf-lora``: a LoRA adapter as llama.cpp loads it beside the base model's GGUF file, however that is quantised."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from gguf import GGUFType, GGUFWriter, Keys
from torch import Tensor

from workers.exports.adapter import beside, of_one_rank
from workers.exports.adapter_readme import adapter_name
from workers.exports.content import Content
from workers.exports.gguf_file import GgufFile
from workers.exports.gguf_names import architecture_of, tensor_name
from workers.exports.modelfile import MODELFILE, of_an_adapter
from workers.exports.package import Package, ReadBack
from workers.sources.source_note import source_note


class GgufLora(Package):
    """``{tensor}.lora_a`` (r, d_in) and ``{tensor}.lora_b`` (d_out, r), float32: llama.cpp adds α/r b (a x); α is r.

    Of any model whose architecture llama.cpp has a name for.
    """

    most_rank: ClassVar[int] = 512

    def __init__(self, content: Content) -> None:
        self._origin = content.origin
        self._name = adapter_name(content.log.model, content.version)
        self._architecture = architecture_of(content.shadow.model.config.model_type)
        self.factors = of_one_rank(content, self.most_rank)
        self.tensors = {
            f"{self._named(content.shadow.anatomy.projections[layer], content.shadow.depth)}.lora_{side}": part
            for layer, each in self.factors.items()
            for side, part in (("a", each.right), ("b", each.left))
        }

    def write(self, folder: Path) -> None:
        """One file, and what Ollama makes a model of it and its base by."""
        writer = GGUFWriter(folder / self._file, self._architecture)
        writer.add_type(GGUFType.ADAPTER)
        writer.add_name(self._name)
        writer.add_string(Keys.Adapter.TYPE, "lora")
        writer.add_float32(Keys.Adapter.LORA_ALPHA, float(self.rank or 0))
        for name, part in self.tensors.items():
            writer.add_tensor(name, part.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        note = source_note(self._origin.source)
        base = None if note is None else note.file
        (folder / MODELFILE).write_text(of_an_adapter(self._name, self._file, base), encoding="utf-8")

    def read(self, folder: Path) -> ReadBack:
        """The adapter runs beside the base model's own weights, as in llama.cpp."""
        found, model = GgufFile(folder / self._file), self._origin.base()
        alpha = found.field(Keys.Adapter.LORA_ALPHA)
        assert isinstance(alpha, float)
        tensors: dict[str, Tensor] = {}
        for layer, module in enumerate(model.anatomy.projections):
            names = [f"{self._named(module, model.depth)}.lora_{side}" for side in ("a", "b")]
            if names[0] in found:
                tensors |= {name: found[name].matrix for name in names}
                right, left = (tensors[name].to(model.device_at(layer)) for name in names)
                model.model.get_submodule(module).register_forward_hook(beside(left * (alpha / len(right)), right))
        return ReadBack(tensors, model)

    @property
    def _file(self) -> str:
        return f"{self._name}.gguf"

    def _named(self, module: str, depth: int) -> str:
        return tensor_name(self._architecture, module, depth)
