"""Tiny models as GGUF files, written as llama.cpp's converter does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType
from gguf.quants import quantize
from numpy.typing import NDArray
from transformers import LlamaConfig

from tests.support.tiny_models import BEGIN, END, Tiny

CHAT_TEMPLATE = (
    "{% for message in messages %}<|begin|>{{ message['role'] }}: {{ message['content'] }}<|end|>{% endfor %}"
)

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}

TYPES = {
    "F32": (LlamaFileType.ALL_F32, GGMLQuantizationType.F32),
    "Q8_0": (LlamaFileType.MOSTLY_Q8_0, GGMLQuantizationType.Q8_0),
    "Q4_1": (LlamaFileType.MOSTLY_Q4_1, GGMLQuantizationType.Q4_1),
    "MXFP4": (LlamaFileType.GUESSED, GGMLQuantizationType.MXFP4),
}


def write_gguf(
    path: Path, made: Tiny, quantisation: str = "F32", *, architecture: str = "llama", without: str = "none"
) -> Path:
    """A tiny Llama with its tokenizer and a chat template, all but the tensors whose name holds ``without``.

    Matrices are quantised, vectors are not.
    """
    config = made.model.config
    assert isinstance(config, LlamaConfig)
    file_type, kind = TYPES[quantisation]
    writer = GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_file_type(file_type)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads or config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, made)
    for name, weight in made.model.state_dict().items():
        if without not in name:
            _add_tensor(writer, config, name, weight.float().numpy(), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: GGUFWriter, made: Tiny) -> None:
    begins = made.tokenizer("x").input_ids[0] == made.tokenizer.get_vocab()[BEGIN]
    vocabulary = made.tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    special = {END, BEGIN}
    writer.add_token_types([TokenType.CONTROL if token in special else TokenType.NORMAL for token in tokens])
    merges = _merges(made)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(vocabulary[BEGIN])
    writer.add_eos_token_id(vocabulary[END])
    writer.add_add_bos_token(begins)
    writer.add_chat_template(CHAT_TEMPLATE)


def _merges(made: Tiny) -> list[str]:

    found = json.loads(made.tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    return [merge if isinstance(merge, str) else " ".join(merge) for merge in found]


def _add_tensor(
    writer: GGUFWriter, config: LlamaConfig, name: str, weight: NDArray[np.float32], kind: GGMLQuantizationType
) -> None:
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for projection, count in heads.items():
        if projection in name and count is not None:
            weight = _interleaved(weight, count)
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs)
    if weight.ndim == 1 or kind is GGMLQuantizationType.F32:
        writer.add_tensor(name, np.ascontiguousarray(weight))
    else:
        writer.add_tensor(name, quantize(np.ascontiguousarray(weight), kind), raw_dtype=kind)


def _interleaved(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """llama.cpp rotates neighbours where transformers rotates halves."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)
