"""What onboarding leaves for a model under the data directory, by the model's fingerprint."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from workers.editing.presets.preset import Preset, read_preset
from workers.onboarding.search import AXES

FOLDER = "onboarded"
PRESET, CARD, TRIALS = "preset.json", "card.md", "trials.json"

SAID = ("method", "layers", *AXES)
"""What a kept preset says: all that is searched for; all else is as in any preset."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The folder of one model; nothing in it is needed to read a log."""

    folder: Path

    @classmethod
    def of(cls, data_dir: Path, fingerprint: str) -> Kept:
        """Where it is; it need not be there yet."""
        return cls(data_dir / FOLDER / fingerprint[:16])

    @property
    def preset(self) -> Path:
        """The hyperparameters that were found."""
        return self.folder / PRESET

    @property
    def card(self) -> Path:
        """What was found, in words."""
        return self.folder / CARD

    @property
    def trials(self) -> Path:
        """All that was tried."""
        return self.folder / TRIALS

    def read(self) -> Preset | None:
        """The hyperparameters that were found; None if nothing was onboarded.

        Raises:
            InvalidHyperparameter: somebody has spoilt the file.
        """
        return read_preset(self.preset) if self.preset.is_file() else None

    def write(self, preset: Preset, card: str) -> None:
        """Keep a preset and its card; the preset last: one that is there has a card."""
        self.folder.mkdir(parents=True, exist_ok=True)
        values = preset.as_dict()
        chosen = {name: values[name] for name in SAID}
        _whole(self.card, card)
        _whole(self.preset, json.dumps(chosen, indent=2) + "\n")


def _whole(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
