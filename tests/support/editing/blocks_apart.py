"""A model that has each block on a device of its own."""

from __future__ import annotations

import torch

from workers.editing.model.editable_model import EditableModel
from workers.editing.model.placement import lay_out


def blocks_apart(live: EditableModel) -> EditableModel:
    """The model, laid out: token ids on the first device, block i on ``cuda:i``, and on the last the norm and the head.

    A head that is tied to the embeddings lies with them.
    """
    blocks = live.anatomy.projections[0].split(".0.")[0]
    trunk = live.model.get_submodule(blocks.rpartition(".")[0])
    last = live.depth - 1
    where = {f"{blocks}.{index}": torch.device("cuda", index) for index in range(live.depth)}
    names = {id(module): name for name, module in live.model.named_modules()}
    for part in trunk.children():
        if names[id(part)] != blocks:
            where[names[id(part)]] = torch.device("cuda", last if part is live.anatomy.final_norm else 0)
    head, embeddings = live.model.get_output_embeddings(), live.model.get_input_embeddings()  # type: ignore[no-untyped-call]
    where[names[id(head)]] = torch.device("cuda", 0 if head.weight is embeddings.weight else last)
    lay_out(live.model, where)
    return live
