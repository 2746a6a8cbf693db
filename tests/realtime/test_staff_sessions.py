"""Sockets of staff and the end of their sessions: what somebody has one do is activity, what it does itself is not."""

import datetime as dt
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.sessions.models import Session
from django.utils import timezone

from stepper.accounts import session_store
from tests.factories import StaffFactory, TripFactory
from tests.realtime.conftest import Connect
from trips.states import TripStatus

run = database_sync_to_async


def _ends_soon() -> None:
    """Have the session end in ten minutes, as after fifty without activity."""
    Session.objects.update(expire_date=timezone.now() + dt.timedelta(minutes=10))
    session_store._touched.clear()


def _minutes_left() -> float:
    return (Session.objects.get().expire_date - timezone.now()).total_seconds() / 60


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("command", "is_activity"),
    [
        ({"type": "ping", "ref": "a"}, False),
        ({"type": "resume", "cursor": "1", "ref": "a"}, False),
        ({"type": "trip.subscribe", "ref": "a"}, True),
    ],
    ids=["ping", "resume", "subscribe"],
)
async def test_command_over_a_socket_keeps_staffs_session_and_a_ping_does_not(
    connect: Connect, command: dict[str, Any], is_activity: bool
) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.OFFERED)
    client = await connect(await run(StaffFactory.create)())
    await run(_ends_soon)()
    await client.send(**command, **({"trip_ids": [trip.pk]} if is_activity else {}))
    # The socket handles one command after another.
    await client.send(type="ping", ref="last")
    await client.until("heartbeat", ref="last")
    assert (await run(_minutes_left)() > 50) == is_activity
