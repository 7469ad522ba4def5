"""A GGUF file as its bytes: read without being copied, and written again with other bytes for some of its tensors."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, ReaderTensor
from gguf.quants import dequantize, quantize
from numpy.typing import NDArray
from torch import Tensor

from app.domain.contract import GgufType
from app.domain.errors import RequestError

METADATA = "metadata"
UNQUANTISED = (GgufType.F32, GgufType.F16, GgufType.BF16)


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor as a file keeps it. ``data``: its bytes, uint8, a row of them for a row of the matrix."""

    kind: GGMLQuantizationType
    data: NDArray[np.uint8]

    @classmethod
    def of(cls, matrix: Tensor, wanted: GgufType) -> Self:
        """Keep a matrix (rows, columns), float32 on the CPU.

        Raises:
            RequestError: its rows are no whole number of blocks, or it has entries beyond the type's range.
        """
        kind = GGMLQuantizationType[wanted.name]
        block, columns = GGML_QUANT_SIZES[kind][0], matrix.shape[1]
        others = f"choose one of {', '.join(UNQUANTISED)}"
        if columns % block:
            detail = (
                f"{wanted} has blocks of {block} entries, and rows of {columns} are no whole number of them: {others}"
            )
            raise RequestError(detail, field="gguf_type", value=wanted)
        with np.errstate(over="ignore"):
            stored = cls(kind, quantize(matrix.contiguous().numpy(), kind).view(np.uint8))
        if not bool(torch.isfinite(stored.matrix).all()):
            detail = (
                f"an edited matrix has entries beyond the range of {wanted}: choose {GgufType.BF16} or {GgufType.F32}"
            )
            raise RequestError(detail, field="gguf_type", value=wanted)
        return stored

    @property
    def matrix(self) -> Tensor:
        """Dequantised, (rows, columns) as in ``nn.Linear``, float32."""
        return torch.from_numpy(np.array(dequantize(self.data, self.kind), dtype=np.float32))


class GgufFile:
    """A GGUF file of this machine's byte order; what is asked of it comes from the file and not from memory.

    Raises:
        ValueError, IndexError: it is not one.
    """

    def __init__(self, path: Path) -> None:
        self._reader = GGUFReader(path, "c")  # "c": torch wants arrays that it could write to
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def __getitem__(self, name: str) -> Stored:
        found = self._tensors[name]
        return Stored(found.tensor_type, _bytes(found))

    def field(self, key: str) -> object:
        """A value of the metadata.

        Raises:
            KeyError: there is none of this name.
        """
        found: object = self._reader.fields[key].contents()
        return found

    @property
    def parts(self) -> dict[str, Tensor]:
        """All that it says, as bytes: its metadata, and each tensor by its name and type."""
        metadata = {METADATA: torch.from_numpy(self._metadata)}
        return metadata | {
            part_name(name, self[name]): torch.from_numpy(_bytes(t)) for name, t in self._tensors.items()
        }

    def write_with(self, changed: Mapping[str, Stored], path: Path) -> None:
        """Write the file again, with these tensors in the place of its own; all else keeps its bytes.

        Raises:
            OSError: it could not be written.
        """
        kept = {name: changed[name] if name in changed else self[name] for name in self._tensors}
        with path.open("wb") as file:
            file.write(self._metadata.data)
            file.writelines(self._descriptions(kept))
            self._pad(file)
            for stored in kept.values():
                file.write(np.ascontiguousarray(stored.data).data)
                self._pad(file)

    @property
    def _metadata(self) -> NDArray[np.uint8]:
        """All bytes before the first tensor's description."""
        return np.asarray(self._reader.data[: self._reader.tensors[0].field.offset])

    def _descriptions(self, kept: Mapping[str, Stored]) -> Iterator[bytes]:
        """Of each tensor its name and shape as they were, its type, and where its bytes begin after all of these."""
        place = 0
        for name, stored in kept.items():
            *named, _kind, _place = self._tensors[name].field.parts
            yield b"".join(part.tobytes() for part in named) + struct.pack("=IQ", stored.kind, place)
            place += stored.data.nbytes + -stored.data.nbytes % self._alignment

    def _pad(self, file: BinaryIO) -> None:
        file.write(bytes(-file.tell() % self._alignment))

    @property
    def _alignment(self) -> int:
        return int(self._reader.alignment)


def part_name(name: str, stored: Stored) -> str:
    """What ``GgufFile.parts`` calls a tensor."""
    return f"{name} ({stored.kind.name})"


def _bytes(tensor: ReaderTensor) -> NDArray[np.uint8]:
    return np.atleast_1d(tensor.data).view(np.uint8)
