"""A worker is told to stop while it waits for a lead, takes one, has one or follows: it gives back what it has."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest
from redis import Redis

from app.domain.errors import LogLocked, PalimpsestError
from app.domain.log.edit_log import EditLog
from tests.support.worker_bench import opened
from workers.host.model_host import ModelHost
from workers.lead.duty import Duty, Role
from workers.lead.following import News
from workers.lead.leadership import Leadership
from workers.lead.lease import Lease
from workers.stopping import Stopping


@pytest.fixture
def host(model: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(model, tmp_path, lead=False) as host:
        yield host


@pytest.fixture
def duty(redis: Redis, host: ModelHost, installed: Stopping) -> Duty:
    """Takes jobs until it is told to stop."""

    def take(_: Leadership) -> PalimpsestError | None:
        while not installed.wait(1.0):
            """There is none."""
        return None

    return Duty(host, Lease(redis, "tiny", "one", 30), News(redis, "tiny"), 0.05, take, lambda: None, installed)


def signal_soon() -> None:
    Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()


def nothing() -> None:
    """Nobody is let in."""


@pytest.mark.parametrize("role", ["leader", "auto", "replica"])
def test_whatever_it_does_a_signal_ends_it_with_status_0_and_without_a_lead(
    duty: Duty, host: ModelHost, role: Role
) -> None:
    assert duty.do(role, signal_soon) == 0
    assert not host.leads
    assert duty.lease.holder() is None


@pytest.mark.parametrize("role", ["leader", "auto"])
def test_a_signal_while_a_lead_is_taken_lets_it_be_taken_and_given_back(
    duty: Duty, host: ModelHost, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    lead, led = host.lead, []

    def signalled(*, leased: bool = False, take_over: bool = False) -> None:
        signal.raise_signal(signal.SIGTERM)
        lead(leased=leased, take_over=take_over)
        signal.raise_signal(signal.SIGINT)
        led.append(host.leads)

    monkeypatch.setattr(host, "lead", signalled)
    assert duty.do(role, nothing) == 0
    assert led == [True]
    assert not host.leads
    assert duty.lease.holder() is None


def test_a_signal_ends_the_wait_for_the_lease_of_a_log_that_has_no_lock(
    redis: Redis, duty: Duty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EditLog, "lockable", False)
    Lease(redis, "tiny", "other", 600).hold()
    signal_soon()
    assert duty.do("leader", lambda: pytest.fail("somebody is let in")) == 0
    assert duty.lease.holder() == "other"


def test_a_signal_ends_the_pause_after_a_lead_that_could_not_be_taken(
    duty: Duty, host: ModelHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(**_: bool) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise LogLocked("a lock is held")

    monkeypatch.setattr(host, "lead", locked)
    assert duty.do("auto", nothing) == 0
    assert duty.lease.holder() is None
