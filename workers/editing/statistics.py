"""The second moment C of a layer's keys over a corpus."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from app.domain.errors import StatisticsMismatch
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.overflow import OTHER_DTYPE
from workers.editing.moments import MomentSums

SAMPLED_ELEMENTS = 1024


@dataclass(frozen=True, slots=True)
class Statistics:
    """Second moments by layer, each (d_in, d_in), float32 or wider; taken on the base model, before any edit."""

    second_moments: dict[int, Tensor]
    tokens: int
    fingerprint: str | None = None

    def kept(self, layer: int, width: int) -> Tensor:
        """C of a layer in the dtype in which it is kept.

        Raises:
            StatisticsMismatch: the layer is missing, or of another width than the model's ``width``.
        """
        if layer not in self.second_moments:
            raise StatisticsMismatch(f"the statistics lack layer {layer}", field="layers", value=layer)
        moment = self.second_moments[layer]
        if moment.shape != (width, width):
            detail = f"layer {layer} has keys of width {width}, the statistics {tuple(moment.shape)}"
            raise StatisticsMismatch(detail, field="layers", value=layer)
        return moment


def fingerprint(editable: EditableModel) -> str:
    """A sha256 that tells base models apart: every parameter's name, shape and first elements, as bfloat16.

    Not the whole of the weights: those of a large model take longer to hash than to load. bfloat16, so that a
    checkpoint is known again in another dtype; and without the down-projections' elements, so that an edited model is.
    """
    edited = {f"{name}.weight" for name in editable.anatomy.projections}
    digest = hashlib.sha256()
    for name, parameter in sorted(editable.model.named_parameters()):
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        if name not in edited:
            sample = parameter.detach().flatten()[:SAMPLED_ELEMENTS].to("cpu", torch.bfloat16)
            digest.update(sample.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def second_moments(
    editable: EditableModel,
    texts: Iterable[str],
    layers: Sequence[int],
    *,
    max_tokens: int | None = None,
    max_batch_tokens: int = 4096,
    progress: Callable[[int], None] = lambda _tokens: None,
) -> Statistics:
    """C = E[k kᵀ] (not centred) over all tokens of ``texts``, in one pass over the stream; symmetric to the bit.

    Texts longer than the model's window are cut into windows. ``progress`` hears of tokens as they are done. Which
    tokens are taken depends on ``max_tokens`` alone: whole windows until there are so many.

    Raises:
        StatisticsMismatch: the corpus holds no token, or a key is not finite.
    """
    sums = MomentSums(editable, layers, max_batch_tokens)
    sums.add(windows(editable, texts), max_tokens=max_tokens, progress=progress)
    return statistics_of(editable, sums)


def statistics_of(editable: EditableModel, sums: MomentSums) -> Statistics:
    """The second moments over all that was added so far.

    Raises:
        StatisticsMismatch: nothing was.
    """
    if sums.tokens == 0:
        raise StatisticsMismatch("the corpus holds no token")
    if (layer := sums.overflown) is not None:
        detail = f"the keys of layer {layer} are not finite over these texts: {OTHER_DTYPE}"
        raise StatisticsMismatch(detail, field="layers", value=layer)
    return Statistics(sums.moments(), sums.tokens, fingerprint(editable))


def windows(editable: EditableModel, texts: Iterable[str]) -> Iterator[list[int]]:
    """The texts' token ids, cut into windows."""
    window = editable.window
    for text in texts:
        ids = editable.tokenizer(text)["input_ids"]
        yield from (ids[start : start + window] for start in range(0, len(ids), window))


def save_statistics(statistics: Statistics, path: Path, part: str = "") -> None:
    """Write ``layer.{i}`` (d_in, d_in), float32, with the model's fingerprint and the token count as metadata.

    part: where they are one of several (``statistics_parts``), which one.
    """
    tensors = {f"layer.{layer}": moment.contiguous() for layer, moment in statistics.second_moments.items()}
    metadata = {"tokens": str(statistics.tokens), "fingerprint": statistics.fingerprint or "", "part": part}
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")  # other workers may make the same
    save_file(tensors, scratch, metadata=metadata)
    scratch.replace(path)


def load_statistics(path: Path, editable: EditableModel | None = None) -> Statistics:
    """Read statistics; with ``editable`` given, refuse those of another model.

    A file without a fingerprint (made elsewhere) is taken as it is, and checked by its shapes when used.

    Raises:
        StatisticsMismatch: the file's fingerprint is another model's, or it is one part of several.
    """
    found, part = read_statistics(path)
    if part:
        detail = f"these are part {part} of statistics, which `palimpsest merge-statistics` makes whole"
        raise StatisticsMismatch(detail, field="statistics", value=path.name)
    if editable is not None and found.fingerprint is not None and found.fingerprint != fingerprint(editable):
        raise StatisticsMismatch("the statistics were taken on another model", field="statistics", value=path.name)
    return found


def read_statistics(path: Path) -> tuple[Statistics, str]:
    """What ``save_statistics`` wrote, and which part it is, of whatever model."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        names = [name for name in file.keys() if name.startswith("layer.")]  # noqa: SIM118 - not a mapping
        moments = {int(name.removeprefix("layer.")): file.get_tensor(name) for name in names}
    found = Statistics(moments, int(metadata.get("tokens", 0)), metadata.get("fingerprint") or None)
    return found, metadata.get("part", "")
