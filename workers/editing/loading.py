"""From a path or a hub id to an editable model: safetensors only, and never a model's own code."""

from __future__ import annotations

import logging
import threading
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from app.domain.errors import UnsupportedArchitecture
from workers.editing.checkpoint import check_checkpoint, telling
from workers.editing.descent.compatibility import check_replay
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.placement import place
from workers.editing.text.joint import TRIALS, misfits
from workers.editing.text.model_text import ModelText

logger = logging.getLogger(__name__)

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

PROCESS_WIDE = threading.RLock()
"""Held while a model is loaded: for that time transformers sets torch's default dtype, and replaces functions of its
own, for all threads. So two loads at once spoil each other for good, and an edit must not run beside one. A lock of the
process, since what it guards is the process's.
"""

ALIGNMENT = 64
"""Bytes. torch's own memory begins at multiples of it; a tensor of a mapped file begins anywhere.

Where an operand begins may decide how a product rounds (MKL asks for 64 bytes to give the same bits again); then one
and the same weight would answer differently as it was loaded and once an edit or a rollback has written it anew.
"""


def load(source: str, *, revision: str | None = None, device: str = "cpu", dtype: str = "float32") -> EditableModel:
    """Load a decoder-only model with its fast tokenizer.

    Args:
        source: a folder, or a hub id.
        device: as torch names it, or ``all``: the model's parts over all accelerators.
        dtype: one of ``DTYPES``; the model's compute dtype. Edited matrices have masters of at least float32.

    Raises:
        ModelNotFound: no such folder, and the hub does not give it.
        UnsupportedArchitecture: no weights in safetensors; no fast tokenizer (its offsets find the lookup token); no
            parts that can be edited, as in a mixture of experts; numbers that overflow in this dtype.
        UnsupportedPlacement: it cannot lie there.
    """
    with PROCESS_WIDE:
        check_checkpoint(source, revision)
        tokenizer = load_tokenizer(source, revision)
        with telling(source):
            loaded = AutoModelForCausalLM.from_pretrained(
                source,
                revision=revision,
                dtype=DTYPES[dtype],
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        model = whole(loaded, source)
    place(model, device)
    _align(model)
    editable = EditableModel.of(model, tokenizer)
    check_replay(editable)
    if odd := misfits(ModelText.of(tokenizer)):
        logger.warning("objects do not continue the tokens of %d of %d trial prompts", len(odd), len(TRIALS))
    return editable


def _align(model: nn.Module) -> None:
    """Copy each weight on the CPU that is not aligned into memory of its own."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.device.type == "cpu" and tensor.data_ptr() % ALIGNMENT:
            tensor.data = tensor.data.clone()


def whole(loaded: Any, source: str) -> PreTrainedModel:
    """The model, if its checkpoint had all of its weights: transformers makes up those that are missing.

    Args:
        loaded: what ``from_pretrained`` gives with ``output_loading_info``: the model, and what was found.

    Raises:
        UnsupportedArchitecture: it had not.
    """
    model: PreTrainedModel = loaded[0]
    told: dict[str, Any] = loaded[1]
    if missing := sorted(told["missing_keys"]):
        detail = (
            f"the checkpoint lacks {len(missing)} of the model's weights ({missing[0]}, ...): get it anew, and whole"
        )
        raise UnsupportedArchitecture(detail, field="model", value=source)
    return model


def load_tokenizer(source: str, revision: str | None = None) -> PreTrainedTokenizerFast:
    """The model's fast tokenizer.

    Raises:
        ModelNotFound: there is nothing to load. UnsupportedArchitecture: it has none.
    """
    with telling(source):
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UnsupportedArchitecture("editing needs a fast tokenizer", value=source)
    return tokenizer
