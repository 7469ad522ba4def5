"""How the processes of a model that is added are started: as those are that the service was started with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from redis import Redis

from app.additions.wishes import Wish, Wishes
from app.local.onboarding import mark_met, onboarding_command
from app.roster import Roster

Popen = Callable[[Sequence[str]], "subprocess.Popen[bytes]"]


@dataclass(frozen=True, slots=True)
class LocalRunner:
    """Starts them with ``popen``, which gives them the service's environment and output."""

    popen: Popen
    redis: Redis
    data_dir: Path
    replicas: int = 0
    onboard: bool = True

    def onboarding(self, wish: Wish) -> subprocess.Popen[bytes] | None:
        """`palimpsest onboard`, unless the model was met before, ships with a preset, or is not to be onboarded."""
        command = onboarding_command(wish.model, self.data_dir) if wish.onboard and self.onboard else None
        if command is None:
            return None
        return self.popen([*command, "--telling", str(Wishes(self.data_dir).progress_file(wish.name))])

    def onboarded(self, wish: Wish) -> None:
        """Have it not onboarded once more under this name."""
        mark_met(wish.model, self.data_dir)

    def workers(self, wish: Wish) -> list[Callable[[], subprocess.Popen[bytes]]]:
        """A leader, and the replicas that each model of the service has."""
        command = worker_command(wish.model, replicas=self.replicas, onboard=self.onboard, name=wish.name)
        return [partial(self.popen, command)] * (1 + self.replicas)

    def answers(self, name: str) -> bool:
        """Whether a worker has its card in Redis."""
        return any(card.model == name for card in Roster(self.redis).now())


def worker_command(model: str, *, replicas: int, onboard: bool, name: str | None = None) -> list[str]:
    """One of the workers of a model that has so many replicas."""
    command = [sys.executable, "-m", "workers", "--model", model, "--role", "auto" if replicas else "leader"]
    return command + ([] if name is None else ["--name", name]) + ([] if onboard else ["--no-onboard"])
