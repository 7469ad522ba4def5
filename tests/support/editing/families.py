"""Tiny random models of many families, and where each keeps its parts, spelt out by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from workers.editing.algebra.layer_base import LayerBase
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.model.editable_model import EditableModel
from workers.editing.types import Fact, LayerPrior

VOCABULARY, HIDDEN, INNER, DEPTH, WINDOW = 300, 32, 48, 3, 96
SLIDING = 24
"""Shorter than the tests' longest sequences, longer than the way from a subject to the object: windows really slide."""

CONTEXTS = ("{}", "The city. {}", "Because I like you and live in the capital of Japan. {}")

FACTS = (
    Fact("Lyon", "{} is located in the country of", "Japan"),
    Fact("São Paulo", "I like {}; it lies in", "France"),
    Fact("Hydrogen", "Therefore you live in {}", "Brazil"),
    Fact("Zürich", "The capital of {} is", "Kyoto"),
)
"""Subjects at the start, in the middle and at the end; of one token and of several."""

_IDS: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
_GATED: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": WINDOW,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
    **_IDS,
}
_IN_TURN = ["sliding_attention", "full_attention", "sliding_attention"]
_GPT2: dict[str, Any] = {
    "n_embd": HIDDEN,
    "n_inner": INNER,
    "n_layer": DEPTH,
    "n_head": 4,
    "n_positions": WINDOW,
    "initializer_range": 0.2,
    **_IDS,
}


@dataclass(frozen=True)
class Family:
    """One family: its configuration, and the dotted names of its parts."""

    config: Callable[[], PreTrainedConfig]
    blocks: str
    projection: str
    final_norm: str
    attention: str = "self_attn"


def _gated(config: Callable[[], PreTrainedConfig]) -> Family:
    return Family(config, "model.layers", "mlp.down_proj", "model.norm")


FAMILIES: dict[str, Family] = {
    "gpt2": Family(lambda: GPT2Config(**_GPT2), "transformer.h", "mlp.c_proj", "transformer.ln_f", "attn"),
    "gptj": Family(
        lambda: GPTJConfig(rotary_dim=4, **_GPT2), "transformer.h", "mlp.fc_out", "transformer.ln_f", "attn"
    ),
    "gpt-neox": Family(
        lambda: GPTNeoXConfig(**_GATED),
        "gpt_neox.layers",
        "mlp.dense_4h_to_h",
        "gpt_neox.final_layer_norm",
        "attention",
    ),
    "llama": _gated(lambda: LlamaConfig(**_GATED)),
    "mistral": _gated(lambda: MistralConfig(sliding_window=SLIDING, **_GATED)),
    "qwen2": _gated(lambda: Qwen2Config(**_GATED)),
    "qwen3": _gated(lambda: Qwen3Config(head_dim=8, **_GATED)),
    "gemma2": _gated(lambda: Gemma2Config(head_dim=8, sliding_window=SLIDING, **_GATED)),
    "gemma3": _gated(lambda: Gemma3TextConfig(head_dim=8, sliding_window=SLIDING, layer_types=_IN_TURN, **_GATED)),
    "phi3": _gated(lambda: Phi3Config(**_GATED)),
    "olmo2": _gated(lambda: Olmo2Config(**_GATED)),
    "opt": Family(
        lambda: OPTConfig(
            hidden_size=HIDDEN,
            word_embed_proj_dim=HIDDEN,
            ffn_dim=INNER,
            num_hidden_layers=DEPTH,
            num_attention_heads=4,
            max_position_embeddings=WINDOW,
            init_std=0.2,
            **_IDS,
        ),
        "model.decoder.layers",
        "fc2",
        "model.decoder.final_layer_norm",
    ),
}


def random_model(config: PreTrainedConfig, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A model with random weights, the same ones for the same configuration."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    nn.Module.to(model, dtype)
    return model


def editable(
    name: str, tokenizer: PreTrainedTokenizerFast, dtype: torch.dtype = torch.float64, **config: Any
) -> EditableModel:
    """A tiny random model of a family; ``config`` changes single fields of its configuration."""
    chosen = FAMILIES[name].config()
    chosen.update(config)
    return EditableModel.of(random_model(chosen, dtype), tokenizer)


def random_second_moment(width: int, seed: int = 0) -> Tensor:
    """C (width, width), float64: half of its directions carry eigenvalue 1e-4, the other half 1."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64, generator=generator)).Q
    values = torch.ones(width, dtype=torch.float64)
    values[: width // 2] = 1e-4
    moment: Tensor = (basis * values) @ basis.T
    return moment


def random_priors(live: EditableModel, layers: Iterable[int]) -> dict[int, LayerPrior]:
    """A prior at each layer, with a null space of half the directions and no previous keys."""
    priors = {}
    for layer in layers:
        moment = random_second_moment(live.key_width(layer), seed=layer).to(live.device_at(layer))
        priors[layer] = LayerPrior(LayerBase.of(moment), PreviousKeys.empty(len(moment), moment.device))
    return priors


def relative(found: Tensor, expected: Tensor) -> float:
    """‖found - expected‖ / ‖expected‖, Frobenius."""
    return float((found - expected).norm() / expected.norm())
