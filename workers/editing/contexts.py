"""The context prefixes that keys and targets are averaged over: made once per model, and kept with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from app.domain.errors import ModelMismatch, RequestError
from app.domain.prompts import SLOT
from workers.editing.model.editable_model import EditableModel
from workers.editing.text.chat_template import ChatTemplate

OPENINGS = ("The", "Therefore", "Because", "I", "You")
NEW_TOKENS = 10
TOP_K = 5
SEED = 0

WRITTEN = 1
"""How many of the prefixes that a chat model writes stay among its contexts."""

TURNS = (
    (("user", "Tell me a fact."), ("assistant", SLOT)),
    (("user", SLOT),),
)
"""A chat model's contexts: the prompt begins its reply; or it is the user's turn, and the object begins the reply.

What stands after the subject costs a gradient step as much as the object does; what stands before is run once.
"""

BESIDE_THE_MODEL = "contexts.json"
"""Name of the file that a bundled model brings its contexts in."""


@torch.inference_mode()
def make_contexts(editable: EditableModel, seed: int = SEED) -> tuple[str, ...]:
    """The bare ``{}`` and five prefixes that the model itself writes: ten tokens after each opening, then ". ".

    Sampled with top-k 5 under a fixed seed that leaves the caller's random state alone (MEMIT's released code makes
    them anew in each process). Braces in what the model writes become spaces, so that one slot remains.
    """
    found = [SLOT]
    with torch.random.fork_rng(devices=[device for device in editable.devices if device.type == "cuda"]):
        torch.manual_seed(seed)
        for opening in OPENINGS:
            inputs = editable.tokenizer(opening, return_tensors="pt").to(editable.device)
            written = editable.model.generate(  # type: ignore[operator]
                **inputs,
                do_sample=True,
                top_k=TOP_K,
                max_new_tokens=NEW_TOKENS,
                pad_token_id=editable.tokenizer.pad_token_id or editable.tokenizer.eos_token_id or 0,
            )
            text = str(editable.tokenizer.decode(written[0], skip_special_tokens=True))
            found.append(text.replace("{", " ").replace("}", " ") + ". " + SLOT)
    return tuple(found)


def chat_contexts(editable: EditableModel, written: Sequence[str]) -> tuple[str, ...]:
    """Of contexts that a model has written the first, and turns of its own chat; all of them if it has no template.

    A template that refuses a turn goes without it.
    """
    chat, found = ChatTemplate.of(editable.tokenizer), []
    for turn in TURNS if chat.openings else ():
        with suppress(RequestError):
            found.append(chat.render([{"role": role, "content": content} for role, content in turn]))
    turns = [text for text in found if text.count(SLOT) == 1]
    return (*written[: 1 + WRITTEN], *turns) if turns else tuple(written)


def contexts_of(
    editable: EditableModel, source: str, given: Path | None = None, *, strict: bool = False
) -> tuple[str, ...]:
    """The contexts of a model: the file that is ``given``, else the one beside the model, else ones it writes now.

    strict: only those that a model writes, as published, and no turn of a chat.

    Raises:
        ModelMismatch: the file holds no contexts.
    """
    beside = Path(source) / BESIDE_THE_MODEL
    file = given or (beside if beside.is_file() else None)
    if file is not None:
        return read_contexts(file)
    written = make_contexts(editable)
    return written if strict else chat_contexts(editable, written)


def read_contexts(path: Path) -> tuple[str, ...]:
    """Read a JSON list of context templates, the bare ``{}`` first.

    Raises:
        ModelMismatch: not such a list.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelMismatch(f"not JSON: {error}", field="contexts", value=path.name) from None
    if not isinstance(data, list) or not all(isinstance(item, str) for item in data):
        raise ModelMismatch("contexts are a JSON list of strings", field="contexts", value=path.name)
    return checked_contexts(data)


def checked_contexts(contexts: Sequence[str]) -> tuple[str, ...]:
    """The contexts, if the first is bare and each has exactly one slot.

    Raises:
        ModelMismatch: they are not.
    """
    if not contexts or contexts[0] != SLOT:
        raise ModelMismatch("contexts start with the bare {}", field="contexts.0", value=next(iter(contexts), None))
    for index, context in enumerate(contexts):
        if context.count(SLOT) != 1:
            raise ModelMismatch("a context has exactly one {}", field=f"contexts.{index}", value=context)
    return tuple(contexts)
