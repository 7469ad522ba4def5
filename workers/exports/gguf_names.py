"""What llama.cpp calls an architecture and its tensors, as the package ``gguf`` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

from app.domain.errors import UnsupportedArchitecture

RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "cohere": "command-r",
        "gemma3_text": "gemma3",
        "gpt_bigcode": "starcoder",
        "gpt_neox": "gptneox",
        "mistral": "llama",
        "phi": "phi2",
    }
)
"""By transformers' ``model_type``, the architecture, where the two differ and the weights are the same ones."""

ARCHITECTURES = {name: architecture for architecture, name in MODEL_ARCH_NAMES.items()}


def architecture_of(model_type: str) -> str:
    """The architecture of a model of transformers.

    Raises:
        UnsupportedArchitecture: llama.cpp has no such one.
    """
    name = RENAMED.get(model_type, model_type)
    if name not in ARCHITECTURES:
        detail = f"llama.cpp has no name for the architecture {model_type}"
        raise UnsupportedArchitecture(detail, field="format", value=model_type)
    return name


def tensor_name(architecture: str, module: str, depth: int) -> str:
    """The name of a module's weight, like ``blk.4.ffn_down.weight``.

    Args:
        module: its dotted name in transformers. depth: how many blocks there are.

    Raises:
        UnsupportedArchitecture: the architecture has no such tensor.
    """
    known = ARCHITECTURES.get(architecture)
    name = None if known is None else get_tensor_name_map(known, depth).get_name(module)
    if name is None:
        detail = f"the architecture {architecture} has no tensor for the module {module} in llama.cpp"
        raise UnsupportedArchitecture(detail, field="format", value=module)
    return f"{name}.weight"
