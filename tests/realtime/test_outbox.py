"""The event log as outbox: written with its cause, published once committed, resumed from without a gap."""

import asyncio
import contextlib
import datetime as dt
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.db import connection, transaction
from django.utils import timezone

from realtime import events, groups
from realtime.layer.hub import HubChannelLayer
from realtime.models import Event
from realtime.outbox import (
    OutboxPublisher,
    events_since,
    make_cursor,
    parse_cursor,
    publish,
    publish_many,
    read_watermark,
    refresh_permissions,
)
from realtime.sockets.commands import missed_events
from stepper.db.transactions import run_in_thread
from stepper.models import Restore
from tests.factories import PassengerFactory
from tests.outbox import frames, types

DAY = dt.timedelta(days=1)


class Undone(Exception):
    pass


def gone(trip_id: int = 1) -> events.OfferExpired:
    return events.OfferExpired(trip_id=trip_id, offer_id=2, reason="timeout")


def ids(found: list[Event]) -> list[str]:
    return [row.event_id for row in found]


def mark_published() -> None:
    Event.objects.update(published_at=timezone.now())


def read_watermark_past(group: str) -> int:
    """On PostgreSQL it comes once all transactions that ran at the time have ended, those of other databases too."""
    until = time.monotonic() + 60
    watermark = read_watermark()
    while events_since([group], watermark, 10) and time.monotonic() < until:
        watermark = read_watermark()
    return watermark


# Writing


@pytest.mark.django_db
def test_publish_writes_a_row_for_each_group() -> None:
    event = gone()

    publish(event, "driver.1", "staff")

    rows = list(Event.objects.order_by("id"))
    assert [(row.group, row.type, row.event_id) for row in rows] == [
        ("driver.1", "trip.offer.expired", event.id),
        ("staff", "trip.offer.expired", event.id),
    ]
    assert frames("driver.1") == [event]
    assert all(row.published_at is None for row in rows)


@pytest.mark.django_db
def test_publish_outside_a_server_leaves_the_rows_to_the_sweep_at_once() -> None:
    publish(gone(), "driver.1")

    assert Event.objects.get().sweep_at <= timezone.now()


@pytest.mark.django_db
def test_publish_many_is_one_insert(django_assert_num_queries: Any) -> None:
    pairs = [(gone(n), groups.driver(n)) for n in range(50)]

    # And who of them all gets pushes.
    with django_assert_num_queries(2):
        publish_many(pairs)

    assert Event.objects.count() == 50


@pytest.mark.django_db
def test_publish_of_nothing_asks_nothing(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        publish_many([])


@pytest.mark.django_db(transaction=True)
def test_publish_is_undone_with_its_cause() -> None:
    def cause() -> None:
        with transaction.atomic():
            publish(gone(), "driver.1")
            raise Undone

    with pytest.raises(Undone):
        cause()

    assert not Event.objects.exists()


@pytest.mark.django_db
def test_recheck_is_for_the_servers_not_for_clients() -> None:
    refresh_permissions("driver.1")

    assert types("driver.1") == []
    assert events_since(["driver.1"], 0, 10) == []
    assert Event.objects.get().type == "control.recheck"


# Resuming


@pytest.mark.django_db
def test_missed_are_those_of_the_groups_from_the_place_on() -> None:
    before = [gone(), gone()]
    publish_many([(before[0], "driver.1"), (before[1], "staff")])
    mark_published()
    watermark = read_watermark()
    after = [gone(), gone(), gone()]
    publish_many([(after[0], "staff"), (after[1], "driver.1"), (after[2], "driver.2")])

    assert {after[0].id, after[1].id} <= set(ids(events_since(["driver.1", "staff"], watermark, 10)))
    assert ids(events_since(["driver.2"], watermark, 10)) == [after[2].id]
    assert ids(events_since(["driver.3"], watermark, 10)) == []


@pytest.mark.django_db
def test_missed_come_in_order_and_not_more_than_asked_for() -> None:
    logged = [gone(n) for n in range(5)]
    publish_many([(event, "driver.1") for event in logged])

    assert ids(events_since(["driver.1"], 0, 3)) == [event.id for event in logged[:3]]


@pytest.mark.django_db(transaction=True)
def test_watermark_of_an_empty_log_misses_nothing_that_follows() -> None:
    watermark = read_watermark()
    publish(gone(), "driver.1")

    assert len(events_since(["driver.1"], watermark, 10)) == 1


@pytest.mark.django_db(transaction=True)
def test_watermark_stays_below_what_is_not_published() -> None:
    publish(gone(1), "driver.1")
    publish(gone(2), "driver.1")
    Event.objects.filter(pk=Event.objects.latest("pk").pk).update(published_at=timezone.now())

    watermark = read_watermark()

    first = Event.objects.earliest("pk")
    assert watermark <= (first.transaction or first.pk)
    assert len(events_since(["driver.1"], watermark, 10)) == 2


@pytest.mark.django_db(transaction=True)
def test_watermark_passes_what_is_published() -> None:
    publish(gone(1), "driver.1")
    mark_published()

    watermark = read_watermark_past("driver.1")

    assert events_since(["driver.1"], watermark, 10) == []
    late = gone(2)
    publish(late, "driver.1")
    assert ids(events_since(["driver.1"], watermark, 10)) == [late.id]


@pytest.mark.django_db(transaction=True)
def test_watermark_is_not_set_back_by_a_pruned_log() -> None:
    publish(gone(1), "driver.1")
    mark_published()
    watermark = read_watermark()
    Event.objects.all().delete()

    assert read_watermark() >= watermark


@pytest.mark.scaled_only
@pytest.mark.django_db(transaction=True)
def test_watermark_waits_for_a_transaction_that_commits_later_than_it_began() -> None:
    """Two connections: the first to write commits last, so its row appears below one that was seen already."""
    early, late = gone(1), gone(2)
    written, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                publish(early, "driver.1")
                written.set()
                assert go_on.wait(10)
        finally:
            connection.close()

    slowly = threading.Thread(target=slow)
    slowly.start()
    assert written.wait(10)
    publish(late, "driver.1")
    mark_published()
    watermark = read_watermark()
    seen_so_far = ids(events_since(["driver.1"], 0, 10))
    go_on.set()
    slowly.join(10)

    assert seen_so_far == [late.id]
    # In the order they took effect: a client that resumes from the watermark read before gets the early one, too.
    assert ids(events_since(["driver.1"], watermark, 10)) == [early.id, late.id]


@pytest.mark.embedded_only
@pytest.mark.django_db(transaction=True)
def test_watermark_of_sqlite_is_the_next_id() -> None:
    publish(gone(1), "driver.1")
    mark_published()

    assert read_watermark() == Event.objects.get().pk + 1


def cursor(watermark: object, age: dt.timedelta = dt.timedelta()) -> str:
    return f"{watermark}.{int(time.time() - age.total_seconds())}"


def test_place_of_a_cursor_of_ours() -> None:
    assert parse_cursor(cursor(41), DAY, "") == 41
    assert parse_cursor(cursor(41, DAY - dt.timedelta(minutes=1)), DAY, "") == 41


def test_place_of_a_cursor_older_than_the_log_is_none() -> None:
    assert parse_cursor(cursor(41, DAY + dt.timedelta(minutes=1)), DAY, "") is None


@pytest.mark.parametrize(
    "wrong",
    ["", ".", "41", "41.", ".41", "-1.1", "41.5.6", "a.b", "²." + "9" * 10, "4 1.9999999999", "41.٣٣٣٣٣٣٣٣٣٣٣"],
)
def test_place_of_what_is_no_cursor_is_none(wrong: str) -> None:
    assert parse_cursor(wrong, DAY, "") is None


@pytest.mark.parametrize(
    ("given_out", "now", "is_believed"),
    [
        ("", "", True),
        ("aaaaaaaa", "aaaaaaaa", True),
        ("", "aaaaaaaa", False),
        ("aaaaaaaa", "", False),
        ("aaaaaaaa", "bbbbbbbb", False),
    ],
)
def test_place_of_a_cursor_from_before_a_restore_is_none(given_out: str, now: str, is_believed: bool) -> None:
    assert (parse_cursor(make_cursor(41, given_out), DAY, now) == 41) is is_believed


@pytest.mark.django_db
def test_missed_from_an_absurd_place_is_nothing() -> None:
    publish(gone(), "driver.1")

    assert events_since(["driver.1"], 10**30, 10) == []


# Publishing


@pytest.fixture
async def layer() -> AsyncIterator[Any]:
    """The layer of this process, its connections closed with the test's loop."""
    layer = get_channel_layer()
    yield layer
    await layer.flush()
    await layer.close()


@pytest.fixture
async def publisher(transactional_db: None, layer: Any) -> AsyncIterator[OutboxPublisher]:
    """Another server's way to the sockets, open."""
    publisher = OutboxPublisher()
    await publisher.open()
    yield publisher
    await publisher.close()


async def received(layer: Any, channel: str) -> dict[str, Any]:
    return await asyncio.wait_for(layer.receive(channel), 5)


async def until_all_are_marked(publisher: OutboxPublisher) -> None:
    """Published and marked are two steps, a sweep apart."""
    async with asyncio.timeout(5):
        while await run_in_thread(lambda: Event.objects.filter(published_at__isnull=True).exists()):
            await run_in_thread(publisher._sweep)


async def test_publishing_stops_although_a_cancellation_is_lost(
    publisher: OutboxPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside the Redis client one can be: the server would never stop."""
    publishing = asyncio.Event()

    async def publish(_rows: list[Event]) -> bool:
        if not publishing.is_set():
            publishing.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return True

    monkeypatch.setattr(publisher, "_publish", publish)
    publisher.send([])
    await publishing.wait()
    await asyncio.wait_for(publisher.close(), 5)


async def test_sweep_publishes_what_other_processes_left(publisher: OutboxPublisher, layer: Any) -> None:
    event = gone()
    channel = await layer.new_channel()
    await layer.group_add("driver.1", channel)

    await run_in_thread(publish, event, "driver.1")

    message = await received(layer, channel)
    row = await run_in_thread(Event.objects.get)
    assert message == {
        "type": "event.logged",
        "group": "driver.1",
        "id": event.id,
        "event": "trip.offer.expired",
        "frame": events.encode(event),
        # Of the writing process nothing else is known.
        "committed_at": row.created_at.timestamp(),
    }
    await until_all_are_marked(publisher)


async def test_sweeps_while_the_bus_is_away_tell_the_sockets_here_once(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of more than one sweep takes; and when the bus is back the other processes get them all."""
    monkeypatch.setattr("realtime.outbox.SWEPT_AT_ONCE", 3)
    away = HubChannelLayer("redis://127.0.0.1:1/0")
    monkeypatch.setattr("realtime.outbox.get_channel_layer", lambda: away)
    channel = await away.new_channel()
    told: list[str] = []
    away.attach(channel, lambda message: not told.append(message["id"]))  # type: ignore[func-returns-value]
    away._groups["driver.1"] = {channel: away._mailboxes[channel]}
    publisher = OutboxPublisher()
    publisher._loop = asyncio.get_running_loop()
    sent = [gone() for _ in range(8)]
    for event in sent:
        await run_in_thread(publish, event, "driver.1")
    await run_in_thread(refresh_permissions, "driver.1")
    # Published by nobody with sockets: due at once.
    await run_in_thread(lambda: Event.objects.update(sweep_at=timezone.now() - dt.timedelta(seconds=1)))
    try:
        for _sweep in range(5):
            await run_in_thread(publisher._sweep)
        assert told == [*(event.id for event in sent), ""]
        assert await run_in_thread(lambda: Event.objects.filter(published_at__isnull=True).count()) == 9
    finally:
        await away.close()

    elsewhere: list[str] = []

    async def send_elsewhere(_group: str, message: dict[str, Any]) -> None:
        elsewhere.append(message["id"])

    async def drained() -> None:
        pass

    monkeypatch.setattr(away, "send_elsewhere", send_elsewhere)
    monkeypatch.setattr(away, "drain", drained)
    await until_all_are_marked(publisher)

    assert elsewhere == told == [*(event.id for event in sent), ""]


async def test_sweep_that_waits_for_the_bus_in_vain_tells_the_sockets_here(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis that swallows everything refuses nothing: also then what others wrote reaches the sockets."""
    monkeypatch.setattr("realtime.outbox.BUS_TIMEOUT_S", 0.2)
    monkeypatch.setattr("realtime.outbox.SWEPT_AT_ONCE", 2)
    silent = HubChannelLayer()
    monkeypatch.setattr(silent, "drain", asyncio.Event().wait)
    monkeypatch.setattr("realtime.outbox.get_channel_layer", lambda: silent)
    channel = await silent.new_channel()
    told: list[str] = []
    silent.attach(channel, lambda message: not told.append(message["id"]))  # type: ignore[func-returns-value]
    await silent.group_add("driver.1", channel)
    publisher = OutboxPublisher()
    publisher._loop = asyncio.get_running_loop()
    sent = [gone() for _ in range(4)]
    for event in sent:
        await run_in_thread(publish, event, "driver.1")

    await run_in_thread(publisher._sweep)

    assert told == [event.id for event in sent]


async def test_sweep_leaves_what_its_writer_publishes_itself(publisher: OutboxPublisher) -> None:
    """Grace: a row of another server is taken over only when that had time enough."""

    def log_as_a_server() -> None:
        with transaction.atomic():
            publish(gone(), "driver.1")
            Event.objects.update(sweep_at=timezone.now() + dt.timedelta(hours=1))

    await run_in_thread(log_as_a_server)

    await run_in_thread(publisher._sweep)

    assert await run_in_thread(lambda: Event.objects.filter(published_at__isnull=True).count()) == 1


async def test_server_publishes_its_own_on_commit_and_marks_them(publisher: OutboxPublisher, layer: Any) -> None:
    event = gone()
    channel = await layer.new_channel()
    await layer.group_add("driver.1", channel)

    def log_as_this_server() -> list[Event]:
        with transaction.atomic():
            publish(event, "driver.1")
            Event.objects.update(sweep_at=timezone.now() + dt.timedelta(hours=1))
            return list(Event.objects.all())

    # `publish` does this after commit where the publisher is the process's own.
    publisher.send(await run_in_thread(log_as_this_server))

    assert (await received(layer, channel))["id"] == event.id
    await until_all_are_marked(publisher)


async def test_stop_publishes_what_is_queued(publisher: OutboxPublisher, layer: Any) -> None:
    event = gone()
    channel = await layer.new_channel()
    await layer.group_add("driver.1", channel)
    await run_in_thread(publish, event, "driver.1")
    publisher.send(await run_in_thread(lambda: list(Event.objects.all())))

    await publisher.close()

    assert (await received(layer, channel))["id"] == event.id
    assert not publisher.is_open


async def test_cursor_of_a_server_holds_a_watermark_after_its_first_sweep(publisher: OutboxPublisher) -> None:
    async with asyncio.timeout(5):
        while not publisher.cursor:
            await run_in_thread(read_watermark)

    # Other databases of the same PostgreSQL move the watermark on meanwhile.
    watermark = parse_cursor(publisher.cursor, DAY, "")
    assert watermark is not None
    assert 0 < watermark <= await run_in_thread(read_watermark)


async def test_cursor_of_a_restored_database_names_its_generation(publisher: OutboxPublisher) -> None:
    await Restore.objects.acreate(generation="aaaaaaaa")
    restored = await Restore.objects.acreate(generation="bbbbbbbb")
    async with asyncio.timeout(5):
        while not publisher.cursor.endswith(f".{restored.generation}"):
            await run_in_thread(read_watermark)

    assert parse_cursor(publisher.cursor, DAY, await run_in_thread(Restore.current_generation)) is not None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_one_left", [True, False])
def test_old_cursor_is_believed_only_where_an_older_event_is_left(is_one_left: bool) -> None:
    """Events may have been kept for less until a moment ago, so that some after the cursor are gone."""
    user = PassengerFactory.create()
    Event.objects.all().delete()
    publish(gone(1), "driver.1")
    mark_published()
    watermark = read_watermark_past("driver.1")
    if not is_one_left:
        Event.objects.all().delete()

    missed = missed_events(user, cursor(watermark, dt.timedelta(hours=2)), ["driver.1"])

    assert missed == ([] if is_one_left else None)
    assert missed_events(user, cursor(watermark, dt.timedelta(minutes=59)), ["driver.1"]) == []
