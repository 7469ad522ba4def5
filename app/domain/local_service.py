"""How a program finds the service that `palimpsest serve` runs on its machine: the Redis, and the workers' secret."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

FILE = "service.json"
"""In the data directory as long as the service runs. Who may read it is who may read the edit log, and nobody else."""


class LocalService(BaseModel):
    """Where it is: a killed service leaves this behind, and then nothing answers there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    redis_url: str
    worker_secret: str

    @classmethod
    def found(cls, data_dir: Path) -> Self | None:
        """What the file in a data directory says; None if there is none that can be read."""
        try:
            return cls.model_validate_json((data_dir / FILE).read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, data_dir: Path) -> None:
        """Put the file in place, for this user's eyes alone."""
        unfinished = data_dir / f".{FILE}"
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(self.model_dump_json())
        unfinished.replace(data_dir / FILE)

    @staticmethod
    def remove(data_dir: Path) -> None:
        """Take the file away, if it is there."""
        (data_dir / FILE).unlink(missing_ok=True)
