"""Where a model's numbers stop being finite: float16 ends at 65,504, and what is beyond becomes infinity, then NaN."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

OTHER_DTYPE = "load the model with --dtype bfloat16 or float32"


@torch.no_grad()
def first_overflow(model: PreTrainedModel, ids: Tensor) -> str | None:
    """Dotted name of the first module whose output is not finite over ``ids`` (rows, tokens); None if all are."""
    found: list[str] = []

    def see(_module: nn.Module, _args: tuple[object, ...], output: object, *, name: str) -> None:
        states = output[0] if isinstance(output, tuple) else output
        if isinstance(states, Tensor) and states.is_floating_point() and not bool(torch.isfinite(states).all()):
            found.append(name)

    handles = [module.register_forward_hook(partial(see, name=name)) for name, module in model.named_modules() if name]
    try:
        logits: Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    finally:
        for handle in handles:
            handle.remove()
    return next(iter(found), None if bool(torch.isfinite(logits).all()) else "the logits")


def overflow_at(model: PreTrainedModel, name: str) -> str:
    """In words: where, and what to do where the dtype is the reason."""
    if model.dtype is not torch.float16:
        return f"the first numbers that are not finite come out of {name}"
    return f"{name} gives numbers beyond float16's range: {OTHER_DTYPE}"
