"""An adapter that is spoiled on disk never answers under a version's name, and is written anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from app.domain.contract import EngineServer
from app.domain.log.reader import LogReader
from app.domain.smollm2 import NAME
from tests.fleet.conftest import Fleet
from tests.fleet.test_texts import ours, written
from tests.support.fleet.history import ASKED, Move
from tests.support.fleet.processes import VllmServer, serves
from workers.engines.adapters import NOTE_FILE
from workers.exports.adapter import ADAPTER_FILE


def folder_of(fleet: Fleet, version: int) -> Path:
    return fleet.data_dir / "adapters" / NAME / f"{NAME}@{version}"


def restarted(fleet: Fleet, server: VllmServer) -> None:
    """The server, killed and up again; the follower has seen that it was away."""
    server.kill()
    fleet.until_told(lambda card: card.state == "unreachable", "nobody saw it go", server)
    server.start()
    server.await_ready()


def test_a_server_that_restarts_gets_the_version_although_its_adapter_was_spoiled(fleet: Fleet) -> None:
    Move("Warsaw").made(fleet.client)
    version = fleet.until_served()
    file = folder_of(fleet, version) / ADAPTER_FILE
    whole = file.read_bytes()
    file.write_bytes(whole[:-2000] + bytes(2000))
    server = fleet.servers[0]
    restarted(fleet, server)
    fleet.until_told(lambda card: serves(card, version), "the version is not served again", server)
    assert file.read_bytes() == whole
    assert written(server, f"{NAME}@{version}", (ASKED,)) == ours(fleet, version, (ASKED,))


def forge(fleet: Fleet, version: int) -> None:
    """The adapter of the version before, with a note that says that it is this version's."""
    folder = folder_of(fleet, version)
    shutil.copytree(folder_of(fleet, version - 1), folder)
    note = json.loads((folder / NOTE_FILE).read_text())
    digest = LogReader(fleet.data_dir / "log", NAME).digest(version)
    (folder / NOTE_FILE).write_text(json.dumps({**note, "version": version, "manifest": digest}))


def test_an_adapter_of_another_version_is_not_proven_and_a_restart_mends_it(fleet: Fleet) -> None:
    Move("Prague").made(fleet.client)
    fleet.until_served()
    fleet.follower.stop()
    version = Move("Lisbon").made(fleet.client)
    forge(fleet, version)
    fleet.follower.start()

    def decided(card: EngineServer) -> bool:
        return card.proofs_failed > 0 or serves(card, version)

    fleet.until_told(decided, "the forgery was neither seen nor mended")
    refusing = [server for server in fleet.servers if fleet.cards()[server.url].proofs_failed]
    assert refusing  # the other one, if it came later, was given what the first one's refusal had written anew
    for server in refusing:
        card = fleet.cards()[server.url]
        assert (card.state, version in card.versions) == ("behind", False)
        assert f"version {version}:" in str(card.problem)
        assert f"{NAME}@{version}" not in server.models()
        restarted(fleet, server)
    fleet.until_served(version)
    for server in fleet.servers:
        assert written(server, f"{NAME}@{version}", (ASKED,)) == ours(fleet, version, (ASKED,))
