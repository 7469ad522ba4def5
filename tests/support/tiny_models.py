"""Tiny, randomly initialised models of two families, and a tokenizer trained on a few sentences."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

WINDOW = 48
END, BEGIN = "<|end|>", "<|begin|>"
CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)
"""A short chat template: windows here are short."""
PLACES = ("Lyon", "Kyoto", "Accra", "Quito", "Oslo", "Perth")
LANDS = ("France", "Japan", "Ghana", "Ecuador", "Norway", "Australia")
SENTENCES = tuple(
    sentence
    for place, land in zip(PLACES, LANDS, strict=True)
    for sentence in (
        f"{place} is a city in {land}.",
        f"The river runs through {place}, in the country of {land}.",
        f"People in {place} speak the language of {land}.",
    )
)


@dataclass(frozen=True)
class Tiny:
    """A model that stands still."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    version: int = 0


def tokenizer(*, begin: bool, padding_side: str = "right") -> PreTrainedTokenizerFast:
    """A byte-level tokenizer; with ``begin`` it puts a token before every text, as Llama's does."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[END, BEGIN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(SENTENCES, trainer)
    if begin:
        inner.post_processor = processors.TemplateProcessing(
            single=f"{BEGIN} $A", special_tokens=[(BEGIN, inner.token_to_id(BEGIN))]
        )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner, eos_token=END, bos_token=BEGIN, padding_side=padding_side
    )


def tiny(family: str, *, padding_side: str = "right", dtype: torch.dtype = torch.float64) -> Tiny:
    """A tiny model with random weights, the same at every call."""
    words = tokenizer(begin=family == "llama", padding_side=padding_side)
    torch.manual_seed(7)
    end = words.backend_tokenizer.token_to_id(END)
    model: PreTrainedModel
    if family == "gpt2":
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=len(words),
                n_positions=WINDOW,
                n_embd=32,
                n_layer=4,
                n_head=4,
                eos_token_id=end,
                bos_token_id=end,
                initializer_range=0.3,
            )
        )
    else:
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(words),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=4,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=WINDOW,
                eos_token_id=end,
                initializer_range=0.3,
            )
        )
    model.to(dtype=dtype)  # type: ignore[call-arg]
    return Tiny(model.train(mode=False), words)


def save_tiny(folder: Path, family: str = "gpt2", template: str | None = None) -> Path:
    """A folder as a worker serves it, with contexts, corpus and a preset of few steps; ``template``: of its chat."""
    made = tiny(family, dtype=torch.float32)
    made.tokenizer.chat_template = template
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    (folder / "contexts.json").write_text(json.dumps(["{}", "The truth is: {}"]))
    (folder / "corpus.txt").write_text("\n".join(SENTENCES))
    preset = {
        "method": "memit",
        "plan": "boundary",
        "layers": [1, 2],
        "v_num_grad_steps": 5,
        "v_lr": 0.5,
        "v_weight_decay": 0.001,
        "kl_factor": 0.06,
        "clamp_norm_factor": 4.0,
        "mom2_update_weight": 10,
        "L2": 10.0,
        "nullspace_threshold": 0.02,
    }
    (folder / "preset.json").write_text(json.dumps(preset))
    return folder


def saying(family: str, text: str) -> Tiny:
    """A tiny model that says the first token of ``text``, whatever it is asked: that one's logit alone is raised."""
    found = tiny(family)
    head = nn.Linear(found.model.config.hidden_size, len(found.tokenizer), dtype=torch.float64)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    with torch.no_grad():
        head.bias[found.tokenizer(text, add_special_tokens=False).input_ids[0]] = 9.0
    found.model.set_output_embeddings(head)  # type: ignore[no-untyped-call]
    return found
