"""Workers that follow a log which another one leads: the same bytes, and one leader after the other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from redis import Redis

from app.domain.errors import DamagedVersion, StaleEpoch
from tests.support.logs import files_of
from tests.support.turns import done
from tests.support.worker_bench import batch, opened
from tests.support.worker_process import PATIENCE_S, until
from tests.workers.host.test_versions import STRONG, edit, go_back, standing, take_out
from workers.host.host_settings import HostSettings
from workers.host.model_host import ModelHost
from workers.lead.following import Following, News
from workers.serving.card import CardOf
from workers.stopping import Stopping
from workers.versions.update_files import UPDATE_FILE


@pytest.fixture
def leader(model: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(model, tmp_path) as host:
        yield host


@pytest.fixture
def replica(leader: ModelHost, model: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(model, tmp_path, lead=False) as host:
        yield host


def card_of(host: ModelHost) -> tuple[str, int, int | None]:
    card = CardOf("tiny.1", host, "http://127.0.0.1:1", datetime.now(UTC))()
    return card.role, card.version, card.behind


class TestFollowing:
    def test_a_replica_has_the_leaders_weights_keys_and_facts_bit_for_bit(
        self, leader: ModelHost, replica: ModelHost, model: Path, tmp_path: Path
    ) -> None:
        for step in (
            lambda: edit(leader, "Lyon", "Oslo"),
            lambda: edit(leader, "Lyon", to="Ghana", plan="even"),
            lambda: edit(leader, "Perth", method="prune", hyperparameters=STRONG),
            lambda: edit(leader, "Quito", method="prune", hyperparameters=STRONG),
            lambda: take_out(leader, (1, 1)),
            lambda: edit(leader, "Accra"),
            lambda: go_back(leader, 2),
            lambda: edit(leader, "Kyoto"),
            lambda: go_back(leader, 0),
            lambda: edit(leader, "Lyon"),
        ):
            step()
            assert replica.follow()
            assert (replica.version, standing(replica)) == (leader.version, standing(leader))
            assert not replica.follow()
        with opened(model, tmp_path, lead=False) as late:
            assert standing(late) == standing(leader)

    def test_only_what_is_new_is_read(
        self, leader: ModelHost, replica: ModelHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for subject in ("Lyon", "Oslo"):
            edit(leader, subject)
        replica.follow()
        read, reading = [], replica.log.read

        def noted(version: int, name: str) -> bytes:
            read.append(version)
            return reading(version, name)

        monkeypatch.setattr(replica.log, "read", noted)
        for subject in ("Perth", "Quito"):
            edit(leader, subject)
        replica.follow()
        assert read == [3, 4]

    def test_a_version_that_was_withdrawn_is_not_kept(
        self, leader: ModelHost, replica: ModelHost, model: Path, tmp_path: Path
    ) -> None:
        edit(leader, "Lyon")
        edit(leader, "Oslo")
        replica.follow()
        leader.close()
        shutil.rmtree(tmp_path / "log" / "tiny" / "versions" / "00000002")
        with opened(model, tmp_path, epoch=2) as again:
            assert replica.follow()
            assert (replica.version, standing(replica)) == (1, standing(again))
            edit(again, "Oslo", to="Ghana")
            replica.follow()
            assert standing(replica) == standing(again)

    def test_it_changes_nothing_in_the_log(
        self, leader: ModelHost, replica: ModelHost, model: Path, tmp_path: Path
    ) -> None:
        edit(leader, "Lyon")
        before = files_of(tmp_path / "log")
        with opened(model, tmp_path, lead=False, snapshot_every=1) as late:
            replica.follow()
            for host in (late, replica):
                with pytest.raises(StaleEpoch):
                    edit(host, "Oslo")
                assert (host.version, standing(host)) == (1, standing(leader))
        assert files_of(tmp_path / "log") == before

    def test_it_says_how_far_behind_it_is(self, leader: ModelHost, replica: ModelHost) -> None:
        for subject in ("Lyon", "Oslo"):
            edit(leader, subject)
        assert (card_of(leader), card_of(replica)) == (("leader", 2, 0), ("replica", 0, 2))
        replica.follow()
        assert card_of(replica) == ("replica", 2, 0)

    def test_damage_is_never_served(self, leader: ModelHost, replica: ModelHost, tmp_path: Path) -> None:
        edit(leader, "Lyon")
        replica.follow()
        before = standing(replica)
        edit(leader, "Oslo")
        damaged = tmp_path / "log" / "tiny" / "versions" / "00000002" / UPDATE_FILE
        damaged.write_bytes(damaged.read_bytes()[:-1])
        with pytest.raises(DamagedVersion):
            replica.follow()
        assert (card_of(replica), standing(replica)) == (("replica", 1, 1), before)

    def test_a_log_in_an_object_store_is_led_and_followed_too(self, model: Path, tmp_path: Path) -> None:
        settings = HostSettings(
            source=str(model),
            name="tiny",
            log_root=f"memory://{tmp_path}/logs",
            data_dir=tmp_path,
            epoch_hint=lambda: 1,
            preset=model / "preset.json",
        )
        try:
            leader = ModelHost.open(settings)
            leader.lead()
            replica = ModelHost.open(settings)
            edit(leader, "Lyon")
            edit(leader, "Oslo")
            go_back(leader, 1)
            replica.follow()
            assert (replica.version, standing(replica)) == (3, standing(leader))
            replica.lead(leased=True, take_over=True)
            assert edit(replica, "Quito") == 4
            with pytest.raises(StaleEpoch):
                done(leader, "late", batch("Perth"))
            leader.close()
            leader.follow()
            assert standing(leader) == standing(replica)
        finally:
            MemoryFileSystem.store.clear()


class TestNews:
    @contextmanager
    def following(self, replica: ModelHost, news: News, seconds: float) -> Iterator[None]:
        stopping = Stopping()
        loop = Following(replica, news, seconds, stopping, lambda: None)
        thread = Thread(target=loop.until, args=(lambda: False,))
        thread.start()
        try:
            yield
        finally:
            stopping.tell()
            thread.join()

    def test_a_replica_that_is_not_told_looks_for_itself(
        self, redis: Redis, leader: ModelHost, replica: ModelHost
    ) -> None:
        with self.following(replica, News(redis, "tiny"), 0.05):
            for subject in ("Lyon", "Oslo"):
                edit(leader, subject)
                until(lambda: replica.version == leader.version, "the replica does not follow")
        assert standing(replica) == standing(leader)

    def test_one_that_is_told_need_not_look(
        self, redis: Redis, redis_url: str, leader: ModelHost, replica: ModelHost
    ) -> None:
        with Redis.from_url(redis_url, socket_timeout=None) as patient:
            loop = Following(replica, News(patient, "tiny"), 3600, Stopping(), lambda: None)
            thread = Thread(target=loop.until, args=(lambda: replica.version == 2,), daemon=True)
            thread.start()
            for subject in ("Lyon", "Oslo"):
                News(redis, "tiny").tell(edit(leader, subject))
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def test_a_damaged_version_is_left_until_it_is_mended(
        self, redis: Redis, leader: ModelHost, replica: ModelHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        edit(leader, "Lyon")
        path = tmp_path / "log" / "tiny" / "versions" / "00000001" / UPDATE_FILE
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with self.following(replica, News(redis, "tiny"), 0.05):
            until(lambda: "cannot follow" in caplog.text, "nothing is said")
            assert replica.version == 0
            path.write_bytes(whole)
            until(lambda: replica.version == 1, "the replica does not follow")
