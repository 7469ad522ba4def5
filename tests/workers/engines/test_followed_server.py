"""A server on its way to the newest version, with everything that it may do wrong."""

from __future__ import annotations

from pathlib import Path

from app.domain.contract import Rollback
from tests.support.tiny_models import save_tiny
from tests.support.turns import done
from tests.workers.engines.conftest import PLACES, Scene, edit
from workers.commands.follow import TOLERANCE as DEFAULT


def test_every_version_is_loaded_proven_and_counted(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    edit(scene.host, "Oslo", "Quito")
    fake = scene.server()
    followed = scene.followed(fake)
    scene.settle(followed)
    card = followed.standing.card()
    assert (card.state, card.versions, card.base_name) == ("serving", (0, 1, 2), "base")
    assert card.problem is None
    assert card.largest_error is not None
    assert card.largest_error < 1e-3
    assert fake.served == {"tiny@1", "tiny@2"}


def test_old_versions_are_unloaded_but_for_the_last_and_those_with_an_alias(scene: Scene) -> None:
    for place in PLACES:
        edit(scene.host, place)
    fake = scene.server()
    followed = scene.followed(fake)
    scene.settle(followed, keep=2)
    assert fake.served == {"tiny@5", "tiny@6"}
    assert next(name for _, name in fake.calls) == "tiny@6"
    edit(scene.host, "Lyon", land="Ghana")
    scene.settle(followed, keep=2)
    assert fake.served == {"tiny@6", "tiny@7"}


def test_an_adapter_that_is_taken_and_serves_the_base_is_found_however_wide_the_tolerance_is(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    fake = scene.server()
    fake.faults.serves_base = True
    followed = scene.followed(fake, tolerance=50.0)
    scene.settle(followed)
    card = followed.standing.card()
    assert (card.state, card.versions, card.proofs_failed) == ("behind", (0,), 1)
    assert card.problem is not None
    assert "as its base model does" in card.problem
    assert fake.served == set()


def test_a_server_with_another_base_is_refused_and_nothing_is_loaded(scene: Scene, tmp_path: Path) -> None:
    edit(scene.host, "Lyon")
    other = save_tiny(tmp_path / "other")
    fake = scene.server(base=other)
    followed = scene.followed(fake)
    scene.settle(followed)
    card = followed.standing.card()
    assert (card.state, card.versions) == ("refused", ())
    assert fake.calls == []


def test_a_server_that_restarts_gets_its_adapters_again(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    edit(scene.host, "Oslo")
    fake = scene.server()
    followed = scene.followed(fake)
    scene.settle(followed)
    fake.restart()
    scene.settle(followed)
    assert fake.served == {"tiny@1", "tiny@2"}
    assert followed.standing.card().versions == (0, 1, 2)


def test_a_version_that_changes_nothing_is_served_as_an_adapter_of_zeros(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    done(scene.host, "home", Rollback(to=0))
    fake = scene.server()
    followed = scene.followed(fake)
    scene.settle(followed)
    assert followed.standing.card().versions == (0, 1, 2)


def test_a_server_in_half_precision_is_within_the_default_tolerance(scene: Scene) -> None:
    edit(scene.host, "Lyon", "Oslo")
    fake = scene.server("bfloat16")
    followed = scene.followed(fake, tolerance=DEFAULT)
    scene.settle(followed)
    card = followed.standing.card()
    assert card.versions == (0, 1), card.problem
    strict = scene.followed(fake, tolerance=1e-4)
    scene.settle(strict)
    assert strict.standing.state == "refused"
