"""Models are added and taken away over HTTP: what may be named, what is told, and where it cannot be done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.additions.wishes import Wishes
from app.domain.contract import JobStatus
from app.main import create_app
from app.settings import Settings
from tests.support.front_end_answers import posted
from tests.support.worker_end import WorkerEnd


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "offered"
    (folder / "mine").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (folder / "out").symlink_to(tmp_path / "secret")
    return folder


@pytest.fixture
def settings(redis_url: str, tmp_path: Path, models_dir: Path) -> Settings:
    return Settings(
        redis_url=redis_url,
        data_dir=tmp_path / "data",
        supervised=True,
        models_dir=models_dir,
        recovery_interval_s=3600,
        allow_open=True,
    )


@pytest.fixture
def client(settings: Settings, redis: Redis) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def wishes(settings: Settings) -> Wishes:
    return Wishes(settings.data_dir)


class TestAdding:
    @pytest.mark.parametrize(
        ("body", "name", "source"),
        [
            ({"model": "atlas-llama"}, "atlas-llama", "atlas-llama"),
            ({"model": "atlas-llama", "name": "second"}, "second", "atlas-llama"),
            ({"model": "owner/some-Model_1.5"}, "some-Model_1.5", "owner/some-Model_1.5"),
        ],
    )
    def test_is_written_down_and_followed_as_a_job(
        self, client: TestClient, wishes: Wishes, body: object, name: str, source: str
    ) -> None:
        response = posted(client, "/models", body)
        job = response.json()
        assert (response.status_code, response.headers["location"]) == (202, f"/jobs/{job['id']}")
        assert (job["kind"], job["status"], job["model"]) == ("onboard", "queued", name)
        [wish] = wishes.all()
        assert (wish.name, wish.model, wish.job) == (name, source, job["id"])
        assert client.get(f"/jobs/{job['id']}").json() == job
        wishes.end(wish, JobStatus.SUCCEEDED)
        assert client.get(f"/jobs/{job['id']}").json()["status"] == "succeeded"

    def test_a_folder_is_named_by_its_name_below_models_dir(
        self, client: TestClient, wishes: Wishes, models_dir: Path
    ) -> None:
        assert posted(client, "/models", {"model": "mine"}).status_code == 202
        assert [wish.model for wish in wishes.all()] == [str((models_dir / "mine").resolve())]

    @pytest.mark.parametrize(
        "model",
        [
            "/etc",
            "../secret",
            "a/../b",
            "a/b/c",
            "./mine",
            "mine/",
            "",
            "out",
            "secret",
            "nowhere",
            "owner/model.gguf",
            "workers/models",
            "https://example.org/model",
            "x" * 121,
        ],
    )
    def test_nothing_else_can_be_named(self, client: TestClient, wishes: Wishes, model: str) -> None:
        response = posted(client, "/models", {"model": model})
        assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
        assert response.json()["field"] == "model"
        assert wishes.all() == []

    def test_without_models_dir_no_folder_can_be_named(self, settings: Settings, redis: Redis) -> None:
        none = settings.model_copy(update={"models_dir": None})
        with TestClient(create_app(none)) as client:
            assert posted(client, "/models", {"model": "mine"}).status_code == 422

    def test_a_name_is_served_once(self, client: TestClient, wishes: Wishes, worker: WorkerEnd) -> None:
        served = posted(client, "/models", {"model": "owner/atlas"})
        assert (served.status_code, served.json()["code"]) == (409, "model_exists")
        posted(client, "/models", {"model": "owner/other"})
        again = posted(client, "/models", {"model": "somebody/other"})
        assert (again.status_code, again.json()["code"]) == (409, "model_exists")
        assert len(wishes.all()) == 1

    def test_its_job_is_cancelled_by_taking_the_model_away(self, client: TestClient) -> None:
        job = posted(client, "/models", {"model": "owner/other"}).json()["id"]
        refused = posted(client, f"/jobs/{job}/cancel")
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert client.delete("/models/other").status_code == 204
        told = client.get(f"/jobs/{job}").json()
        assert (told["status"], told["error"]["code"]) == ("cancelled", "job_cancelled")


class TestTakingAway:
    def test_one_that_was_added_is_wanted_no_longer(self, client: TestClient, wishes: Wishes) -> None:
        posted(client, "/models", {"model": "owner/other"})
        assert client.delete("/models/other").status_code == 204
        assert wishes.all() == []
        gone = client.delete("/models/other")
        assert (gone.status_code, gone.json()["code"]) == (404, "unknown_model")

    def test_one_that_the_service_was_started_with_stays(self, client: TestClient, worker: WorkerEnd) -> None:
        refused = client.delete("/models/atlas")
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


def test_where_nobody_could_start_a_worker_it_is_said_what_to_do(settings: Settings, redis: Redis) -> None:
    with TestClient(create_app(settings.model_copy(update={"supervised": False}))) as client:
        for response in (posted(client, "/models", {"model": "atlas-llama"}), client.delete("/models/atlas-llama")):
            assert (response.status_code, response.json()["code"]) == (501, "not_supervised")
            assert "python -m workers" in response.json()["detail"]
