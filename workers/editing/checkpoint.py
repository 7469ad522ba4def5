"""What is refused before a model's weights are read, and in whose words: ours, one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM

from app.domain.errors import ModelNotFound, UnsupportedArchitecture
from workers.editing.model.anatomy import refuse_experts

CONFIG = "config.json"
PICKLED = ("*.bin", "*.pt", "*.pth")
TO_SAFETENSORS = (
    "convert them once, where you trust them: "
    "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER), and its tokenizer likewise"
)


@contextmanager
def telling(source: str) -> Iterator[None]:
    """Say in our words why transformers does not load a model.

    Raises:
        ModelNotFound, UnsupportedArchitecture.
    """
    try:
        yield
    except OSError as error:
        raise _not_there(source, error) from error
    except SafetensorError as error:
        detail = f"a file of the weights is damaged ({first_line(error)}): get it anew"
        raise UnsupportedArchitecture(detail, field="model", value=source) from error
    except (ValueError, ImportError) as error:  # code of its own, a type that this transformers does not know
        detail = f"transformers does not load this model: {first_line(error)}"
        raise UnsupportedArchitecture(detail, field="model", value=source) from error


def check_checkpoint(source: str, revision: str | None) -> None:
    """Refuse what no weights are needed for: folders without safetensors, and experts, found by structure.

    Raises:
        ModelNotFound: nothing is there. UnsupportedArchitecture: it cannot be edited.
    """
    if Path(source).is_dir():
        _check_folder(Path(source))
    with telling(source):
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
        with torch.device("meta"):
            skeleton = AutoModelForCausalLM.from_config(config, trust_remote_code=False)  # type: ignore[no-untyped-call]
    refuse_experts(skeleton)


def _check_folder(folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    if any(folder.glob("*.gguf")):
        detail = f"name the GGUF file in the folder itself: {next(folder.glob('*.gguf')).name}"
    elif any(found for pattern in PICKLED for found in folder.glob(pattern)):
        detail = f"the weights are pickled (.bin), which is not read since it may run code: {TO_SAFETENSORS}"
    else:
        detail = "the folder has no weights in safetensors: name one that save_pretrained wrote, or a GGUF file"
        raise ModelNotFound(detail, field="model", value=str(folder))
    raise UnsupportedArchitecture(detail, field="model", value=str(folder))


def _not_there(source: str, error: OSError) -> ModelNotFound | UnsupportedArchitecture:
    """Why a folder or a hub id could not be read."""
    words = first_line(error)
    if Path(source).is_dir():
        return ModelNotFound(f"the folder does not hold a whole model: {words}", field="model", value=source)
    if _is_path(source):
        return ModelNotFound(f"there is no folder {source}", field="model", value=source)
    if "safetensors" in words:
        detail = f"{source} has no weights in safetensors, and others are not read: {TO_SAFETENSORS}"
        return UnsupportedArchitecture(detail, field="model", value=source)
    if "connect" in words or isinstance(error, ConnectionError):
        detail = (
            f"there is no folder {source}, and the hub cannot be reached: give a folder or a GGUF file on this machine"
        )
    else:
        detail = f"there is no folder {source}, and the hub gives no model of that name: check it, or set HF_TOKEN"
    return ModelNotFound(detail, field="model", value=source)


def _is_path(source: str) -> bool:
    """Whether a name cannot be a hub id, which is ``name`` or ``owner/name``."""
    return source.startswith((".", "/", "~")) or source.count("/") > 1 or source.endswith("/")


def first_line(error: BaseException) -> str:
    """The first line of others' message, without its full stop; the error's type if it has none."""
    line = next(iter(str(error).strip().splitlines()), "")
    return line.strip().rstrip(".:") or type(error).__name__
