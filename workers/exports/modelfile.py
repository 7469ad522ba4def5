"""``Modelfile``: what Ollama makes a model of an export by, and how llama.cpp is given the same."""

from __future__ import annotations

MODELFILE = "Modelfile"

WHOLE = """\
# In Ollama: ollama create {name} --file Modelfile
# In llama.cpp: llama-server --model {file}
FROM ./{file}
"""

ADAPTER = """\
# FROM is the base model: its GGUF file, in any quantisation, or the name that Ollama has it by.
# In Ollama: ollama create {name} --file Modelfile
# In llama.cpp: llama-server --model {base} --lora {file}
FROM ./{base}
ADAPTER ./{file}
"""

ANY_BASE = "BASE.gguf"


def of_a_whole_model(name: str, file: str) -> str:
    """Of a GGUF file beside it."""
    return WHOLE.format(name=name, file=file)


def of_an_adapter(name: str, file: str, base: str | None) -> str:
    """Of an adapter beside it. ``base``: the file that the base model came as, which the user has; None: another."""
    return ADAPTER.format(name=name, file=file, base=base or ANY_BASE)
