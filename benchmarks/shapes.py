"""Models of known shapes with random weights: what they cost is what the real ones cost, and nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PretrainedConfig, PreTrainedModel


def _gpt2_small() -> PretrainedConfig:
    return GPT2Config()


def _gpt2_mini() -> PretrainedConfig:
    return GPT2Config(
        vocab_size=4096,
        n_positions=128,
        n_embd=192,
        n_inner=2560,
        n_layer=6,
        n_head=6,
        bos_token_id=0,
        eos_token_id=0,
    )


def _gpt2_xl() -> PretrainedConfig:
    return GPT2Config(n_embd=1600, n_layer=48, n_head=25)


def _llama_3_8b() -> PretrainedConfig:
    return LlamaConfig(
        vocab_size=128_256,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=8192,
    )


def _smollm2_135m() -> PretrainedConfig:
    return LlamaConfig(
        vocab_size=49_152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )


def _tiny_gpt2() -> PretrainedConfig:
    return GPT2Config(vocab_size=2048, n_positions=128, n_embd=32, n_layer=4, n_head=4, bos_token_id=0, eos_token_id=0)


def _tiny_llama() -> PretrainedConfig:
    return LlamaConfig(
        vocab_size=2048,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
    )


SHAPES: Mapping[str, Callable[[], PretrainedConfig]] = MappingProxyType(
    {
        "gpt2-small": _gpt2_small,
        "gpt2-mini": _gpt2_mini,
        "gpt2-xl": _gpt2_xl,
        "llama-3-8b": _llama_3_8b,
        "smollm2-135m": _smollm2_135m,
        "tiny-gpt2": _tiny_gpt2,
        "tiny-llama": _tiny_llama,
    }
)
"""``gpt2-mini`` is the bundled atlas-gpt2's; the tiny ones are for trying a benchmark out."""


def random_model(shape: str, device: str, dtype: torch.dtype, seed: int) -> PreTrainedModel:
    """A model of that shape, its weights drawn on the device itself."""
    torch.manual_seed(seed)
    with torch.device(device):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(SHAPES[shape](), dtype=dtype)  # type: ignore[no-untyped-call]
    return model
