"""The health checks: what they ask for, and that a probe may name the server by any address."""

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from realtime.models import ServerBeat
from stepper.server import readiness
from stepper.web import health
from tests.servers import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def checked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known from another test, nor for longer than a moment."""
    monkeypatch.setattr(health, "_shared", health._Shared())
    monkeypatch.setattr(health, "SHARED_S", 0.0)


@pytest.fixture
def beating() -> None:
    ServerBeat.objects.create(name="one", beat_at=timezone.now())


def ready() -> tuple[int, dict[str, Any]]:
    response = Client().get("/health/ready/")
    return response.status_code, response.json()


def test_live_answers() -> None:
    assert Client().get("/health/live/").json() == {"status": "ok"}


@pytest.mark.usefixtures("beating")
def test_ready_when_all_is_there(suite: str) -> None:
    names = ["database", "migrations", "dispatcher", *(["redis"] if suite == "scaled" else [])]
    assert ready() == (200, {"status": "ok", "checks": dict.fromkeys(names, "ok"), "codes": []})


def test_ready_wants_a_dispatcher_that_beats() -> None:
    ServerBeat.objects.create(name="one", beat_at=timezone.now() - dt.timedelta(seconds=16))
    status, body = ready()
    assert (status, body["status"], body["codes"]) == (503, "failed", ["dispatcher.silent"])
    assert body["checks"]["dispatcher"] == "failed"
    assert body["checks"]["database"] == "ok"


@pytest.mark.usefixtures("beating")
def test_ready_wants_every_migration() -> None:
    MigrationRecorder(connection).record_unapplied("trips", "0001_initial")
    status, body = ready()
    assert (status, body["status"], body["codes"]) == (503, "failed", ["database.unmigrated"])


@pytest.mark.usefixtures("beating")
def test_ready_wants_the_database(monkeypatch: Any) -> None:
    def away() -> None:
        raise OperationalError("the connection is closed")

    monkeypatch.setattr(readiness, "missing_migrations", away)
    status, body = ready()
    assert (status, body["status"], body["codes"]) == (503, "failed", ["database.away"])
    assert body["checks"]["migrations"] == body["checks"]["dispatcher"] == "failed"


@pytest.mark.usefixtures("beating")
def test_ready_says_that_nobody_can_sign_in_without_redis(settings: Any) -> None:
    """Not 503: without Redis all servers are like that at the same time, and who is signed in can go on."""
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    status, body = ready()
    assert (status, body["status"], body["codes"]) == (200, "degraded", ["redis.away", "sign_in.unavailable"])
    assert body["checks"]["redis"] == "failed"


@pytest.mark.parametrize("host", ["10.42.0.17:8000", "[fd00::17]:8000", "pod-17.example.kz", "not a host"])
@pytest.mark.parametrize("path", ["/health/live/", "/health/ready/"])
@pytest.mark.usefixtures("beating")
def test_health_is_told_to_any_host(path: str, host: str) -> None:
    assert Client(headers={"host": host}).get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/health/", "/health/live", "/health/live/x", "/api/trips", "/accounts/login/"])
def test_other_paths_refuse_hosts_that_are_not_ours(path: str) -> None:
    assert Client(headers={"host": "10.42.0.17:8000"}).get(path).status_code == 400


@pytest.mark.parametrize("path", ["/health/live/", "/health/ready/"])
def test_health_is_only_read(path: str) -> None:
    assert Client().post(path).status_code == 405


def test_probes_share_a_check_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may probe, and each check may wait for a second for a Redis that does not even refuse."""
    checking, go_on = threading.Event(), threading.Event()
    first: dict[str, tuple[str, ...]] = {}
    later: dict[str, tuple[str, ...]] = {"redis": ("redis.away",)}
    found = iter([first, later])

    def check() -> dict[str, tuple[str, ...]]:
        outcome = next(found)
        if outcome is later:
            checking.set()
            go_on.wait(10)
        return outcome

    monkeypatch.setattr(health, "_failed_checks", check)
    shared = health._Shared()
    assert shared.failed_checks() == first
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(shared.failed_checks)
        assert checking.wait(10)
        # A third check would find nothing to return.
        assert [shared.failed_checks() for _ in range(5)] == [first] * 5
        go_on.set()
        assert slow.result(10) == later
