"""A model that this machine has not met is onboarded before it is served: `palimpsest onboard`, in this terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from app.domain.digests import sha256
from app.domain.errors import Unavailable
from app.domain.settings import WORKER_PREFIX
from app.domain.smollm2 import SHIPPED

COMMAND = "import sys; from app.cli import main; sys.argv[0] = 'palimpsest'; main()"


def onboard_new(models: Sequence[str], data_dir: Path) -> None:
    """Onboard each model that was not met under this name before; its progress is shown where this process writes.

    Whoever names a preset or statistics for the workers has said what they want: nothing is looked for then.

    Raises:
        Unavailable: the command could not be run to its end; it has said why.
    """
    for model in models:
        if (command := onboarding_command(model, data_dir)) is None:
            continue
        ended = subprocess.run(command, check=False)  # noqa: S603 - our own
        if ended.returncode:
            raise Unavailable(f"{model} could not be onboarded", field="model", value=model)
        mark_met(model, data_dir)


def onboarding_command(model: str, data_dir: Path) -> list[str] | None:
    """What onboards a model; None if it was met under this name before, or need not be onboarded."""
    if any(os.environ.get(f"{WORKER_PREFIX}{name}") for name in ("PRESET", "STATISTICS")):
        return None
    if model in SHIPPED or _mark(model, data_dir).exists():
        return None
    named = {option: os.environ.get(f"{WORKER_PREFIX}{option.upper()}") for option in ("device", "dtype")}
    chosen = [part for option, value in named.items() if value and value != "auto" for part in (f"--{option}", value)]
    return [sys.executable, "-c", COMMAND, "onboard", model, "--if-needed", "--data-dir", str(data_dir), *chosen]


def mark_met(model: str, data_dir: Path) -> None:
    """Note that a model was onboarded."""
    met = _mark(model, data_dir)
    met.parent.mkdir(parents=True, exist_ok=True)
    met.touch()


def _mark(model: str, data_dir: Path) -> Path:
    """Is there once the model was onboarded under this name."""
    return data_dir / "onboarded" / f"{sha256(str(model).encode())[:16]}.met"
