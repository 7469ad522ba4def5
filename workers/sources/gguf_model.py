"""A GGUF file as a folder in safetensors: dequantised once, and found again by the file's digest."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import torch
from gguf import GGUFReader, LlamaFileType
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from app.domain import smollm2
from app.domain.errors import NoGgufFile, PalimpsestError, UnsupportedArchitecture
from app.domain.storage import durable_files
from workers.editing.checkpoint import first_line
from workers.editing.loading import PROCESS_WIDE, whole
from workers.editing.model.anatomy import locate
from workers.sources.source_note import NOTE_FILE, SourceNote, source_note

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
    digest = sha256(file)
    target = data_dir / FOLDER / digest[:DIGITS] / file.stem
    if (note := source_note(str(target))) is not None:
        _note_place(note, file, target)
        return target
    durable_files.make_dir(target.parent)
    with durable_files.exclusive(target.parent.with_suffix(".lock"), wait=True):
        if not (target / NOTE_FILE).is_file():  # else another process has made it meanwhile
            durable_files.sweep(target.parent)
            _convert(file, digest, target)
    return target


def original(source: str) -> Path:
    """The GGUF file that a converted model was made of, with the bytes that it had then.

    Raises:
        NoGgufFile: the model did not come as one, or the file is not there any more.
    """
    note = source_note(source)
    if note is None:
        raise NoGgufFile(NoGgufFile.never, field="format")
    places = (None if note.path is None else Path(note.path), smollm2.wheel_file())
    for place in places:
        if place is not None and place.is_file() and sha256(place) == note.sha256:
            return place
    detail = f"{note.file} is not where it was, or is another file by now: start a worker with its path once more"
    raise NoGgufFile(detail, field="format", value=note.file)


def sha256(file: Path) -> str:
    """A file's digest, in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _note_place(note: SourceNote, file: Path, folder: Path) -> None:
    """Keep where the file is by now, unless the folder can only be read."""
    place = str(file.resolve())
    if note.path != place:
        with suppress(OSError):
            note.model_copy(update={"path": place}).write(folder)


def _convert(file: Path, digest: str, target: Path) -> None:
    start = time.monotonic()
    try:
        kind = quantisation(file)
        note = SourceNote(file=file.name, sha256=digest, quantisation=kind, path=str(file.resolve()))
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
