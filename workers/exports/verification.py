"""Whether an export is its version: loaded from its files, and its logits compared with the version's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from app.domain.errors import ExportFailed
from workers.editing.model.editable_model import EditableModel
from workers.exports.content import Content
from workers.exports.package import Package, ReadBack
from workers.exports.recall import Recall

TOLERANCES: Mapping[torch.dtype, float] = MappingProxyType(
    {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
)
"""By the dtype that the model computes in: how far a logit may be off, relative to the largest one (1 at least)."""


@dataclass(frozen=True, slots=True)
class Verified:
    """How an export compares with its version.

    tolerance: the difference allowed; None of a lossy package, of which ``recall`` says what it gives of the facts.
    """

    max_logit_difference: float
    tolerance: float | None
    recall: Recall | None


def verify(package: Package, content: Content, folder: Path) -> Verified:
    """Load the folder, and compare: all tensors bit for bit with those meant, the logits with the version's own.

    Raises:
        ExportFailed: it cannot be loaded, or is not the version.
    """
    found = _read(package, folder)
    _same_tensors(package.tensors, found.tensors)
    difference, largest = 0.0, 1.0
    for text in content.texts:
        wanted, given = logits(content.shadow, text), logits(found.model, text)
        if wanted.shape != given.shape:
            raise ExportFailed("the export takes a text for other tokens than the model does")
        difference = _larger(difference, (wanted - given).abs().max())
        largest = _larger(largest, wanted.abs().max())
    if package.lossy:
        return Verified(difference, None, Recall.of(content, found.model))
    tolerance = max(TOLERANCES[dtype] for dtype in (content.origin.dtype, *package.dtypes)) * largest
    if not difference <= tolerance:  # so that NaN fails
        detail = f"the export's logits are off by {difference:.3g}, where {tolerance:.3g} is allowed"
        raise ExportFailed(detail, value=difference)
    return Verified(difference, tolerance, None)


@torch.inference_mode()
def logits(editable: EditableModel, text: str) -> Tensor:
    """At every token of the text, as far as it fits into the window: (tokens, vocabulary), at least float32."""
    ids = editable.tokenizer(text, return_tensors="pt").input_ids[:, : editable.window].to(editable.device)
    found: Tensor = editable.model(input_ids=ids, use_cache=False).logits[0]
    return found.to(torch.promote_types(found.dtype, torch.float32))


def _read(package: Package, folder: Path) -> ReadBack:
    try:
        return package.read(folder)
    except torch.OutOfMemoryError as error:
        raise ExportFailed("the worker's device has no room for the model once more, to load the export") from error
    except Exception as error:  # what others' code makes of a damaged file has no common kind
        raise ExportFailed(f"the export cannot be loaded: {type(error).__name__}") from error


def _same_tensors(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    if strange := sorted(wanted.keys() ^ found.keys()):
        raise ExportFailed("the export has tensors too many or too few", value=strange)
    if damaged := [name for name, tensor in wanted.items() if not _same_bits(tensor, found[name])]:
        raise ExportFailed("tensors of the export do not have the bits that were written", value=damaged)


def _same_bits(one: Tensor, other: Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(_bytes(one), _bytes(other.to(one.device)))  # a model that was loaded anew may lie otherwise


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def _larger(most: float, found: Tensor) -> float:
    """The larger one, or NaN."""
    return float(torch.maximum(found.new_tensor(most), found))
