"""What the folder of an adapter says to whoever loads it: under which name, and with which options."""

from __future__ import annotations

README_FILE = "README.md"

USUAL_RANK = 16
"""vLLM's ``--max-lora-rank`` unless it is given."""

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes for it."""

TEXT = """\
---
base_model: {base}
library_name: peft
tags: [lora, palimpsest]
---
# {name}

A LoRA adapter of rank {rank} for `{base}`. `palimpsest.json` says what it was compared with.

Load it under its own name, `{name}`: another version has another one. A server that caches by name answers from the
old version when a new one comes under the same name, and the base model's name is the base model.

```console
vllm serve {base} --enable-lora {option}--lora-modules {name}=FOLDER
```

or, in one that runs with `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`, beside any other version:

```console
curl localhost:8000/v1/load_lora_adapter -H 'Content-Type: application/json' \\
  -d '{{"lora_name": "{name}", "lora_path": "FOLDER"}}'
```
{needs}"""


def adapter_name(model: str, version: int) -> str:
    """One name a version."""
    return f"{model}-v{version}"


def max_lora_rank(rank: int) -> int | None:
    """What vLLM needs as ``--max-lora-rank``; None where it takes the rank as it is."""
    return None if rank <= USUAL_RANK else next(size for size in RANKS if size >= rank)


def readme(name: str, base: str, rank: int) -> str:
    """The folder's README."""
    needed = max_lora_rank(rank)
    option = "" if needed is None else f"--max-lora-rank {needed} "
    needs = "" if needed is None else f"\nIts rank is over {USUAL_RANK}: vLLM needs `--max-lora-rank {needed}`.\n"
    return TEXT.format(name=name, base=base, rank=rank, option=option, needs=needs)
