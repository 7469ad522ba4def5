"""An edit log of many small versions: one real edit, and then others like it, committed as any version is."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from app.domain.contract import EditBatch, Fact
from app.domain.manifest import Draft, Manifest
from tests.support.turns import done
from workers.editing.model.updates import WeightUpdate
from workers.host.host_settings import HostSettings
from workers.host.model_host import ModelHost
from workers.models import bundled
from workers.versions.snapshots import Snapshots
from workers.versions.update_files import UPDATE_FILE, pack, unpack

NEVER = 1_000_000_000
COUNTED = 500
"""So many commits, the first ones and the last ones, tell what one takes."""


@dataclass(frozen=True, slots=True)
class Commits:
    """Milliseconds of a commit, on average, of the first ``COUNTED`` versions and of the last."""

    first: float
    last: float


def settings_of(root: Path, model: str) -> HostSettings:
    """A bundled model over the log in ``root``, which writes no snapshots by itself."""
    data = root / "data"
    source = str(bundled(model))
    return HostSettings(source, model, root / "log", data, lambda: 1, snapshot_every=NEVER)


def write_log(root: Path, model: str, versions: int, snapshot: int) -> Commits | None:
    """Write a log of so many versions of one fact, or go on with one; with a snapshot of the version ``snapshot``.

    Returns:
        What a commit took; None where all versions were there.
    """
    logging.disable(logging.INFO)
    with closing(ModelHost.open(settings_of(root, model))) as host:
        host.lead()
        if host.version == 0:
            fact = Fact(subject="Lyon", relation="is located in the country of", object="Japan")
            done(host, "first", EditBatch(facts=(fact,), unheld="keep"))
        log, first = host.log, host.log.manifest(1)
        whole = unpack(log.read(1, UPDATE_FILE), host.live.device_at)
        taken = []
        for version, updates in zip(range(host.version + 1, versions + 1), _like(whole), strict=False):
            files = {UPDATE_FILE: pack(updates)}
            start = time.perf_counter()
            log.commit(_draft(first, version, host.epoch), files)
            taken.append(time.perf_counter() - start)
        if snapshot not in log.snapshots():
            Snapshots(log, 1).jumped(host.live, snapshot, host.epoch)
    return Commits(_mean_ms(taken[:COUNTED]), _mean_ms(taken[-COUNTED:])) if taken else None


def _like(updates: list[WeightUpdate]) -> Iterator[list[WeightUpdate]]:
    """Updates of the same shapes, small enough that ten thousand of them leave the weights finite."""
    chance = torch.Generator().manual_seed(0)
    while True:
        yield [
            replace(
                update,
                left=torch.randn(update.left.shape, generator=chance) * 1e-4,
                right=torch.randn(update.right.shape, generator=chance) * 1e-3,
                keys=torch.randn(update.keys.shape, generator=chance, dtype=torch.float64),
            )
            for update in updates
        ]


def _draft(like: Manifest, version: int, epoch: int) -> Draft:
    """A version with the report and the hyperparameters of a real one, of another fact."""
    fact = like.facts[0].model_copy(update={"subject": f"City {version}"})
    own = {"version": version, "job": f"{version:032x}", "facts": (fact,), "epoch": epoch}
    return Draft.model_validate({name: getattr(like, name) for name in Draft.model_fields} | own)


def _mean_ms(taken: list[float]) -> float:
    return 1e3 * sum(taken) / len(taken)
