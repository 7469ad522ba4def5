"""Abilities over a run: of the unedited model and at every checkpoint, kept in the run's folder.

<folder>/
  abilities/000000.json   the unedited model
  abilities/000100.json   after so many facts; written anew after each task, so that none is asked twice
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.domain.storage import durable_files
from workers.editing.model.editable_model import EditableModel
from workers.experiments.abilities import Ability, Harness, Score, at_version
from workers.experiments.answers import Kept
from workers.experiments.run_folder import RunFolder
from workers.experiments.sequence import Run
from workers.exports.from_log import LoggedModel

FOLDER = "abilities"

Figure = tuple[str, str]
"""What a column, or a line of the curves, is of: a task and a metric."""


class AbilityLook(Kept):
    """What a model can, by each name that was asked for. title: of the model. facts: how many were edited so far."""

    title: str
    facts: int
    asked: dict[str, Ability]

    def scores(self) -> dict[Figure, Score]:
        """All figures but those of parts."""
        return {(each.task, each.metric): each for found in self.asked.values() for each in found.scores}

    def has(self, name: str, harness: Harness) -> bool:
        """Whether this was asked already, by the same harness and of as many questions."""
        found = self.asked.get(name)
        return found is not None and (found.limit, found.harness) == (harness.tasks.limit, harness.version)


@dataclass(frozen=True, slots=True)
class AbilityLooks:
    """Looks at one run, whose edits they do not touch: more tasks may be asked of a run that is over."""

    run: Run
    harness: Harness

    def at(self, facts: int) -> None:
        """Ask the version after so many facts, and before all of them, the tasks that it has not been asked.

        Raises:
            RequestError: as ``Harness.ask`` does. PalimpsestError: the version cannot be put together.
        """
        for count, title in ((0, "unedited"), (facts, f"{facts} facts")):
            look = _kept(_path(self.run.folder, count)) or AbilityLook(title=title, facts=count, asked={})
            missing = [name for name in self.harness.tasks.names if not look.has(name, self.harness)]
            if missing:
                model = self._model(count)
                for name in missing:
                    look = look.model_copy(update={"asked": {**look.asked, name: self.harness.ask(model, name)}})
                    _keep(self.run.folder, look)
                    self.run.heard(f"{title}: {name} asked")

    def _model(self, facts: int) -> EditableModel:
        host, version = self.run.host, _version_after(self.run, facts)
        return host.live if version == host.version else at_version(host.live, host.log, version)


def looks(folder: RunFolder) -> tuple[AbilityLook, ...]:
    """All that the run's folder has, from the unedited model on."""
    found = (_kept(path) for path in sorted((folder.path / FOLDER).glob("*.json")))
    return tuple(each for each in found if each is not None)


def of_versions(model: LoggedModel, versions: Iterable[int], harness: Harness) -> tuple[AbilityLook, ...]:
    """Ask versions of a model the tasks, from its log.

    Raises:
        RequestError: as ``Harness.ask`` does. UnknownVersion, CompactedVersion, DamagedVersion: as ``at_version``.
    """
    found = []
    for version in dict.fromkeys(versions):
        editable = at_version(model.live, model.log, version)
        found.append(
            AbilityLook(
                title=f"version {version}" if version else "unedited",
                facts=len(model.log.facts_in_force(version)),
                asked={name: harness.ask(editable, name) for name in harness.tasks.names},
            )
        )
    return tuple(found)


def _version_after(run: Run, facts: int) -> int:
    """The version that so many facts came to: of a batch that became none, the one before."""
    lines = run.folder.lines()[: -(-facts // run.wanted.batch)]
    return next((line.version for line in reversed(lines) if line.version is not None), 0)


def _path(folder: RunFolder, facts: int) -> Path:
    return folder.path / FOLDER / f"{facts:06d}.json"


def _kept(path: Path) -> AbilityLook | None:
    return AbilityLook.model_validate_json(path.read_bytes()) if path.is_file() else None


def _keep(folder: RunFolder, look: AbilityLook) -> None:
    path = _path(folder, look.facts)
    durable_files.make_dir(path.parent)
    durable_files.replace_file(path, look.model_dump_json().encode())
