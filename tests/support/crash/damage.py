"""Damaged files of a real log's newest version: each is cut at every 64th byte, and has random bits flipped."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from app.domain.errors import DamagedVersion
from app.domain.log.check import LogCheck
from app.domain.log.edit_log import EditLog
from tests.app.domain.log.test_damage_anywhere import cuts, flips
from tests.support.crash.findings import Finding
from tests.support.crash.scene import MODEL, START, Ground
from workers.versions.update_files import UPDATE_FILE

NEWEST = f"version {START}"


def damaged_files(ground: Ground) -> Iterator[Finding]:
    """One finding for each file of the newest version and kind of damage."""
    copy = ground.root / "damaged"
    shutil.copytree(ground.root / "log", copy)
    for path in sorted((copy / MODEL / "versions" / f"{START:08d}").iterdir()):
        for damages in (cuts, flips):
            start, whole = time.monotonic(), path.read_bytes()
            finding = Finding((path.name, damages.__name__), f"{path.name}, {damages.__name__}", runs=0, found="-")
            for data in damages(whole):
                finding.runs += 1
                path.write_bytes(data)
                finding.damage += _unnoticed(copy, path)
            path.write_bytes(whole)
            finding.seconds = time.monotonic() - start
            yield finding
    shutil.rmtree(copy)


def _unnoticed(root: Path, path: Path) -> list[str]:
    """What is wrong after one file was damaged: not noticed, misnamed, or an earlier version cannot be read."""
    log = EditLog(root, MODEL)
    shown = str(path.relative_to(root)).removesuffix(".sha256")
    wrong = []
    try:
        log.read(START, UPDATE_FILE)
        wrong.append(f"{shown}: read although it is damaged")
    except DamagedVersion as error:
        if error.value != shown:
            wrong.append(f"{shown}: {error.value} was named")
    try:
        log.replay(START - 1)
        [log.read(version, UPDATE_FILE) for version in range(1, START)]
    except DamagedVersion as error:
        wrong.append(f"{shown}: an earlier version cannot be read: {error}")
    checked = [each for each in LogCheck(root, MODEL).run() if each.damage]
    if [each.title for each in checked] != [NEWEST] or not all(each.remedies for each in checked):
        wrong.append(f"{shown}: `log verify` says {[each.title for each in checked]}")
    return wrong
