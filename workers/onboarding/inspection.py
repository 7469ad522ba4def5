"""What a model is found to be, before anything is done with it."""

from __future__ import annotations

from dataclasses import dataclass

from workers.editing.model.editable_model import EditableModel


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of what was found."""

    name: str
    value: str


def inspect(live: EditableModel) -> list[Finding]:
    """Structure and tokens of a model that was loaded, and so has passed the checks of ``loading``."""
    config, tokenizer = live.model.config.get_text_config(), live.tokenizer
    parameters = sum(parameter.numel() for parameter in live.model.parameters())
    head, embeddings = live.model.get_output_embeddings(), live.model.get_input_embeddings()  # type: ignore[no-untyped-call]
    tied = head is not None and head.weight is embeddings.weight
    bos = tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    return [
        Finding("family", f"{config.model_type}, {parameters:,} parameters, {live.model.dtype}".replace("torch.", "")),
        Finding("blocks", f"{live.depth}, keys {live.key_width(0):,} wide, outputs {live.hidden_size:,}"),
        Finding("edited matrices", live.anatomy.projections[0].replace(".0.", ".*.")),
        Finding("tokens", f"{len(tokenizer):,}, window {live.window:,}, {'with' if bos else 'no'} BOS before a prompt"),
        Finding("chat template", "yes" if tokenizer.chat_template else "none"),
        Finding("embeddings", "tied to the output" if tied else "apart from the output"),
    ]
