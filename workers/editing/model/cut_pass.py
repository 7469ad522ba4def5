"""A forward pass that ends as soon as all that was asked for has run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from workers.editing.model.editable_model import first

See = Callable[[Tensor], None]
"""Takes what a module took or gave; raises ``Reached`` if nothing after it is asked for."""

Watch = Callable[[nn.Module, See], RemovableHandle]


class Reached(Exception):
    """All that was asked for has run."""


def watch_input(module: nn.Module, see: See) -> RemovableHandle:
    """Have ``see`` look at what the module takes."""
    return module.register_forward_pre_hook(lambda _module, args: see(args[0]))


def watch_output(module: nn.Module, see: See) -> RemovableHandle:
    """Have ``see`` look at what the module gives."""
    return module.register_forward_hook(lambda _module, _args, output: see(first(output)))


def run_until_reached(model: PreTrainedModel, ids: Tensor, watched: Sequence[RemovableHandle]) -> None:
    """Feed ids (rows, tokens) until a watcher has reached what it wanted; then none is watched any more.

    Padding may only stand at the end of a row: no token sees one after it, so nothing is masked.
    """
    try:
        model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    except Reached:
        pass
    finally:
        for handle in watched:
            handle.remove()
