"""`/ops/system/`: who sees it, and what it says of what works, waits and was counted."""

import asyncio
import contextlib
import datetime as dt
import json
import time
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from time_machine import TimeMachineFixture

from realtime.models import Event, ServerBeat
from stepper.monitoring import collecting, processes
from stepper.ops.system import show
from tests.backoffice import staff_with

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _asked_anew() -> None:
    collecting.backlogs.forget()


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(staff_with("view_system"))
    return client


def cells(page: str, name: str) -> str:
    """The words of the row of a table, without tags."""
    row = page.split(f'<th scope="row">{name}')[1].split("</tr>", maxsplit=1)[0]
    return " ".join("".join(part.partition(">")[2] or " " for part in f">{row}".split("<")).split())


def test_staff_need_the_permission(client: Client) -> None:
    client.force_login(staff_with("view_trip", "view_driver"))
    assert client.get("/ops/system/").status_code == 403
    assert show.permissions == ("stepper.view_system",)  # type: ignore[attr-defined]


def test_who_may_see_nothing_else_is_led_here_from_the_room(operator: Client) -> None:
    assert operator.get("/ops/").headers["Location"] == "/ops/system/"


def test_says_what_works_and_what_waits(operator: Client) -> None:
    now = timezone.now()
    ServerBeat.objects.create(name="here:1", beat_at=now)
    Event.objects.all().delete()
    row = Event.objects.create(event_id="e", group="user.1", type="x", frame="{}", sweep_at=now)
    Event.objects.filter(pk=row.pk).update(created_at=now - dt.timedelta(minutes=5))
    page = operator.get("/ops/system/").content.decode()
    assert cells(page, "Database") == "works"
    assert cells(page, "Dispatcher").endswith("works")
    assert cells(page, "Events") == "1 waits, the oldest for 5 min. does not work"


def test_silent_dispatcher_does_not_work(operator: Client) -> None:
    assert cells(operator.get("/ops/system/").content.decode(), "Dispatcher") == "None has ever reported. does not work"
    ServerBeat.objects.create(name="here:1", beat_at=timezone.now() - dt.timedelta(seconds=40))
    collecting.backlogs.forget()
    assert cells(operator.get("/ops/system/").content.decode(), "Dispatcher").endswith("does not work")


def test_refreshing_itself_keeps_no_session_alive(operator: Client, time_machine: TimeMachineFixture) -> None:
    time_machine.move_to(timezone.now())
    operator.get("/ops/system/")
    ends_at = Session.objects.get().expire_date
    time_machine.shift(1800)
    assert operator.get("/ops/system/", headers={"X-Automatic": "1"}).status_code == 200
    assert Session.objects.get().expire_date == ends_at
    # A person does.
    operator.get("/ops/system/")
    assert Session.objects.get().expire_date > ends_at


@pytest.mark.scaled_only
def test_figures_of_all_processes_are_added_up(operator: Client) -> None:
    """Of those that have written lately; one that is gone is removed."""
    other = {"name": "there:1", "role": "dispatcher", "figures": {"stepper_offers_made_total": 12480.0}}
    gone = {"name": "gone:1", "role": "server", "figures": {"stepper_offers_made_total": 1_000_000.0}}
    with redis.Redis.from_url(settings.REDIS_URL) as store:
        store.hset(processes._key(), "there:1", json.dumps({**other, "at": time.time()}))
        store.hset(processes._key(), "gone:1", json.dumps({**gone, "at": time.time() - 60}))
        store.hset(processes._key(), "newer:1", json.dumps({"another": "form"}))
        try:
            page = operator.get("/ops/system/").content.decode()
            assert store.hexists(processes._key(), "gone:1") is False
        finally:
            store.delete(processes._key())
    here = round(processes.total([processes.read_here()], "stepper_offers_made_total"))
    # The thin space counts as one for `cells`.
    assert cells(page, "Offers made") == f"{here} {12480 + here:,}".replace(",", " ")
    assert cells(page, "there:1").startswith("dispatcher")
    assert "gone:1" not in page


@pytest.mark.embedded_only
def test_one_process_needs_no_column_for_all(operator: Client) -> None:
    page = operator.get("/ops/system/").content.decode()
    assert cells(page, "Redis") == "One server process needs none. not in use"
    assert 'data-testid="system-processes"' not in page


async def test_writing_of_figures_stops_although_a_cancellation_is_lost(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside the Redis client one can be: the server would never stop."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    writing = asyncio.Event()

    async def write(_client: object, _mine: object) -> None:
        writing.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    monkeypatch.setattr(processes.Processes, "_write", staticmethod(write))
    own = processes.Processes()
    own.open()
    await writing.wait()
    await asyncio.wait_for(own.close(), 5)
