"""``palimpsest-source.json``: what a converted model was made from, and what was lost."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from app.domain.storage import durable_files

NOTE_FILE = "palimpsest-source.json"

UNQUANTISED = ("F32", "F16", "BF16")
LOST = ", so its quantisation is lost and answers may differ in nuances"


class SourceNote(BaseModel):
    """One conversion. It stands beside the weights, and a folder that has it is whole.

    file, sha256: the GGUF file's name and digest. quantisation: its own, which the folder's weights no longer have.
    dtype: what the weights were dequantised to. path: where the file was when it was named last.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    made_by: Literal["palimpsest"] = "palimpsest"
    file: str
    sha256: str
    quantisation: str
    dtype: str = "float32"
    path: str | None = None

    @property
    def told(self) -> str:
        """What became of the file, as one sentence without its full stop."""
        lost = "" if self.quantisation in UNQUANTISED else LOST
        return f"{self.file} ({self.quantisation}) was dequantised to {self.dtype}{lost}"

    def write(self, folder: Path) -> None:
        """Put the note into the folder; one that is there already is replaced as a whole."""
        durable_files.replace_file(folder / NOTE_FILE, (self.model_dump_json(indent=2) + "\n").encode())


def source_note(source: str) -> SourceNote | None:
    """The note of a model that was converted; None of any other."""
    file = Path(source) / NOTE_FILE
    return SourceNote.model_validate_json(file.read_bytes()) if file.is_file() else None
