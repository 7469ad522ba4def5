"""``palimpsest.json``: what an export says of itself. A folder that has one is finished."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from app.domain.contract import ExportReport
from app.domain.errors import ExportFailed
from app.domain.manifest import FileRecord

CARD_FILE = "palimpsest.json"


class ExportCard(BaseModel):
    """One export.

    manifest: SHA-256 of the version's manifest in the edit log, or of ``base.json`` for version 0.
    source, revision: what the base model was loaded from; an adapter or updates belong to it alone.
    by: name of the API key that the job was handed in with, if any.
    modules: by layer that the version may have changed, the name of the module that has the weight.
    compared: how many texts ``report.max_logit_difference`` is over.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    made_by: Literal["palimpsest"] = "palimpsest"
    model: str
    manifest: str
    source: str
    revision: str | None
    dtype: str
    job: str | None
    by: str | None = None
    created: AwareDatetime
    report: ExportReport
    modules: dict[int, str]
    orientation: str = "a change is left @ right, (d_out, d_in) as in nn.Linear; a Conv1D's weight is the transpose"
    compared: int
    files: dict[str, FileRecord]

    def write(self, folder: Path) -> None:
        """Put the card beside the files."""
        (folder / CARD_FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_card(folder: Path) -> ExportCard | None:
    """What a finished export says of itself; None if there is none.

    Raises:
        ExportFailed: its card cannot be read.
    """
    try:
        return ExportCard.model_validate_json((folder / CARD_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ExportFailed(f"the {CARD_FILE} of a finished export cannot be read", value=folder.name) from error


def file_records(folder: Path) -> dict[str, FileRecord]:
    """Digest and size of every file in a folder, by name."""
    found = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[path.name] = FileRecord(sha256=digest, size=path.stat().st_size)
    return found
