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
from torch import Tensor, nn

from app.domain.errors import StatisticsMismatch
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.micro_batches import in_given_order, right_padded
from workers.editing.model.overflow import OTHER_DTYPE

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


@torch.inference_mode()
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

    Memory: one (d_in, d_in) float64 matrix a layer, and one micro-batch of at most ``max_batch_tokens``.
    Texts longer than the model's window are cut into windows. ``progress`` hears of tokens as they are done.

    Raises:
        StatisticsMismatch: the corpus holds no token, or a key is not finite.
    """
    sums = {
        layer: torch.zeros(editable.key_width(layer), editable.key_width(layer), dtype=torch.float64)
        for layer in layers
    }
    done = 0
    for rows in in_given_order(_windows(editable, texts), max_batch_tokens):
        ids, mask = right_padded(rows, editable.device)
        _add_batch(editable, ids, mask, sums)
        done += int(mask.sum())
        progress(int(mask.sum()))
        if max_tokens is not None and done >= max_tokens:
            break
    if done == 0:
        raise StatisticsMismatch("the corpus holds no token")
    for layer, total in sums.items():
        if not bool(torch.isfinite(total).all()):
            detail = f"the keys of layer {layer} are not finite over these texts: {OTHER_DTYPE}"
            raise StatisticsMismatch(detail, field="layers", value=layer)
    # Some processors' products are not symmetric in the last digit, and then solvers that read one half of C, or both,
    # differ by more than rounding in float64.
    moments = {layer: (total + total.T).div_(2 * done).float() for layer, total in sums.items()}
    return Statistics(moments, done, fingerprint(editable))


def _add_batch(editable: EditableModel, ids: Tensor, mask: Tensor, sums: dict[int, Tensor]) -> None:
    """Add the batch's k kᵀ to the sums; one hook a layer, padding left out."""
    valid = mask.bool()

    def accumulate(layer: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def see(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
            inputs = args[0].reshape(*valid.shape, -1)  # some families flatten rows and tokens
            keys = inputs[valid.to(inputs.device)].float()
            sums[layer] += (keys.T @ keys).to("cpu", torch.float64)

        return see

    handles = [editable.projection(layer).register_forward_pre_hook(accumulate(layer)) for layer in sums]
    try:
        editable.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()


def _windows(editable: EditableModel, texts: Iterable[str]) -> Iterator[list[int]]:
    window = editable.window
    for text in texts:
        ids = editable.tokenizer(text)["input_ids"]
        yield from (ids[start : start + window] for start in range(0, len(ids), window))


def save_statistics(statistics: Statistics, path: Path) -> None:
    """Write ``layer.{i}`` (d_in, d_in), float32, with the model's fingerprint and the token count as metadata."""
    tensors = {f"layer.{layer}": moment.contiguous() for layer, moment in statistics.second_moments.items()}
    metadata = {"tokens": str(statistics.tokens), "fingerprint": statistics.fingerprint or ""}
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")  # other workers may make the same
    save_file(tensors, scratch, metadata=metadata)
    scratch.replace(path)


def load_statistics(path: Path, editable: EditableModel | None = None) -> Statistics:
    """Read statistics; with ``editable`` given, refuse those of another model.

    A file without a fingerprint (made elsewhere) is taken as it is, and checked by its shapes when used.

    Raises:
        StatisticsMismatch: the file's fingerprint is another model's.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        names = [name for name in file.keys() if name.startswith("layer.")]  # noqa: SIM118 - not a mapping
        moments = {int(name.removeprefix("layer.")): file.get_tensor(name) for name in names}
    found = metadata.get("fingerprint") or None
    if editable is not None and found is not None and found != fingerprint(editable):
        raise StatisticsMismatch("the statistics were taken on another model", field="statistics", value=path.name)
    return Statistics(moments, int(metadata.get("tokens", 0)), found)
