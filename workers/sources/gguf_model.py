"""A GGUF file as a folder in safetensors: dequantised once, and found again by the file's digest."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from pathlib import Path

import torch
from gguf import GGUFReader, LlamaFileType
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from app.domain.errors import PalimpsestError, UnsupportedArchitecture
from app.domain.storage import durable_files
from workers.editing.checkpoint import first_line
from workers.editing.loading import PROCESS_WIDE, whole
from workers.editing.model.anatomy import locate
from workers.sources.source_note import NOTE_FILE, SourceNote

FOLDER = "converted"
"""Of all converted models, in the data directory."""

DIGITS = 16
"""Of the file's SHA-256, in hex, that name the folder of its conversion."""

logger = logging.getLogger(__name__)


def converted(file: Path, data_dir: Path) -> Path:
    """The folder of a GGUF file's model: ``<data_dir>/converted/<digest>/<the file's name without its ending>``.

    Made if it is not there, in float32 with tokenizer and chat template; whole, or not there at all. Of several
    processes one makes it, and the others wait.

    Raises:
        UnsupportedArchitecture: transformers cannot read the file, or its model cannot be edited.
        OSError: the folder could not be written.
    """
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    target = data_dir / FOLDER / digest[:DIGITS] / file.stem
    if (target / NOTE_FILE).is_file():
        return target
    durable_files.make_dir(target.parent)
    with durable_files.exclusive(target.parent.with_suffix(".lock"), wait=True):
        if not (target / NOTE_FILE).is_file():  # else another process has made it meanwhile
            durable_files.sweep(target.parent)
            _convert(file, digest, target)
    return target


def _convert(file: Path, digest: str, target: Path) -> None:
    start = time.monotonic()
    try:
        note = SourceNote(file=file.name, sha256=digest, quantisation=quantisation(file))
        model, tokenizer = _read(file)
    except PalimpsestError:
        raise
    except Exception as error:  # what others' code makes of a strange or damaged file has no common kind
        detail = (
            f"transformers cannot read this GGUF file ({first_line(error)}): "
            "serve the model's folder in safetensors, or its hub id, instead"
        )
        raise UnsupportedArchitecture(detail, field="model", value=file.name) from error
    with durable_files.building_dir(target) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        note.write(folder)
    logger.info("%s; kept in %s", note.told, target, extra={"seconds": round(time.monotonic() - start, 2)})


def _read(file: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The dequantised model, as one that never was quantised, and its tokenizer."""
    where = {"gguf_file": file.name}
    tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UnsupportedArchitecture("editing needs a fast tokenizer", field="model", value=file.name)
    with PROCESS_WIDE:
        model = whole(
            AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, output_loading_info=True, **where),
            file.name,
        )
    locate(model)  # refuses what cannot be edited, before it is kept
    model.config.__dict__.pop("quantization_config", None)
    vars(model).update(is_quantized=False, hf_quantizer=None)
    return model, tokenizer


def quantisation(file: Path) -> str:
    """What the file says of itself, like Q4_1; if it says nothing, the type of most of its matrices."""
    reader = GGUFReader(file)
    field = reader.get_field("general.file_type")
    if field is not None:
        return LlamaFileType(int(field.contents())).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    types = Counter(tensor.tensor_type.name for tensor in reader.tensors if len(tensor.shape) > 1)
    return types.most_common(1)[0][0] if types else "unknown"
