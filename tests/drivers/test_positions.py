"""Fixes in, batches out: what is dropped, clamped and kept, on both databases."""

import asyncio
import datetime as dt
import threading
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.db import DataError, connection, transaction
from django.utils import timezone

from drivers import availability
from drivers.models import Driver, DriverPosition, TrailPoint
from drivers.positions import store
from drivers.positions.buffer import PositionBuffer
from drivers.positions.fixes import Fix
from drivers.positions.tracking import last_known
from realtime import events, groups
from realtime.events import Point
from stepper.db.transactions import run_in_thread
from stepper.errors import NotPermitted
from stepper.models import ServiceSettings
from tests.factories import AIRPORT, ALMATY, MEDEU, DriverFactory, TripFactory, former_leg, place
from trips.models import Trip

pytestmark = pytest.mark.django_db

SECOND = dt.timedelta(seconds=1)
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def buffer() -> PositionBuffer:
    """A process that has heard of nobody yet."""
    return PositionBuffer()


@pytest.fixture
async def layer() -> AsyncIterator[Any]:
    """The layer of this process, its connections closed with the test's loop."""
    layer = get_channel_layer()
    yield layer
    await layer.flush()
    await layer.close()


@pytest.fixture
def driver() -> Driver:
    return DriverFactory(is_online=True)


def ago(seconds: float, lat: float = 43.0, lng: float = 76.0, **fields: Any) -> Point:
    return Point(lat=lat, lng=lng, recorded_at=timezone.now() - seconds * SECOND, **fields)


def stored(driver: Driver) -> DriverPosition:
    return DriverPosition.objects.get(driver=driver)


def test_first_fix_is_stored_whole(buffer: PositionBuffer, driver: Driver) -> None:
    point = ago(3, 43.5, 76.5, heading_deg=90, speed_kmh=42, accuracy_m=8)

    result = buffer.report(driver.pk, [point])

    assert (result.accepted, result.dropped) == (1, 0)
    row = stored(driver)
    assert (row.lat, row.lng, row.heading_deg, row.speed_kmh, row.accuracy_m) == (43.5, 76.5, 90, 42, 8)
    assert row.recorded_at == point.recorded_at
    assert timezone.now() - row.received_at < MINUTE
    assert row.cell == 13350 << 20 | 25650


def test_next_fix_replaces_it(buffer: PositionBuffer, driver: Driver) -> None:
    buffer.report(driver.pk, [ago(5, -33.899, -70.1, heading_deg=10, accuracy_m=5)])
    buffer.report(driver.pk, [ago(1, -33.9, -70.1)])

    row = stored(driver)
    assert (row.lat, row.lng, row.heading_deg, row.accuracy_m) == (-33.9, -70.1, None, None)
    assert row.cell == 5610 << 20 | 10990


def test_point_without_a_stamp_is_now(buffer: PositionBuffer, driver: Driver) -> None:
    before = timezone.now()

    buffer.report(driver.pk, [Point(lat=43, lng=76)])

    assert before <= stored(driver).recorded_at <= timezone.now()


def test_future_stamps_are_clamped(buffer: PositionBuffer, driver: Driver) -> None:
    buffer.report(driver.pk, [ago(-600)])

    row = stored(driver)
    assert row.recorded_at == row.received_at <= timezone.now()


def test_clock_ahead_does_not_stop_later_fixes(buffer: PositionBuffer, driver: Driver) -> None:
    buffer.report(driver.pk, [ago(-600, lat=43.001)])

    assert buffer.report(driver.pk, [ago(-601, lat=43.002)]).accepted == 1
    assert stored(driver).lat == 43.002


@pytest.mark.parametrize("ahead", [True, False])
def test_batch_of_clamped_or_unstamped_points_ends_at_the_last(
    buffer: PositionBuffer, driver: Driver, ahead: bool
) -> None:
    batch = [ago(-600 - n, lat=n) if ahead else Point(lat=n, lng=76) for n in (1, 2, 3)]

    assert buffer.report(driver.pk, batch).accepted == 3
    assert stored(driver).lat == 3


def test_older_points_are_dropped(buffer: PositionBuffer, driver: Driver) -> None:
    buffer.report(driver.pk, [ago(10, lat=1)])

    result = buffer.report(driver.pk, [ago(20, lat=2), ago(15, lat=3)])

    assert (result.accepted, result.dropped) == (0, 2)
    assert stored(driver).lat == 1


def test_same_point_again_is_dropped(buffer: PositionBuffer, driver: Driver) -> None:
    point = ago(10)
    buffer.report(driver.pk, [point])

    assert buffer.report(driver.pk, [point]).dropped == 1


def test_batch_in_any_order_keeps_the_latest(buffer: PositionBuffer, driver: Driver) -> None:
    buffer.report(driver.pk, [ago(30, lat=43.001)])

    result = buffer.report(driver.pk, [ago(5, lat=43.005), ago(40, lat=43.002), ago(20, lat=43.003)])

    assert (result.accepted, result.dropped) == (2, 1)
    assert stored(driver).lat == 43.005


def test_points_older_than_another_process_stored_are_dropped(buffer: PositionBuffer, driver: Driver) -> None:
    buffer.report(driver.pk, [ago(10, lat=1)])

    assert PositionBuffer().report(driver.pk, [ago(20, lat=2)]).dropped == 1


def test_later_fix_of_another_process_is_not_overwritten(buffer: PositionBuffer, driver: Driver) -> None:
    buffer.report(driver.pk, [ago(30, lat=43.001)])
    PositionBuffer().report(driver.pk, [ago(5, lat=43.002)])

    buffer.report(driver.pk, [ago(20, lat=43.003)])

    assert stored(driver).lat == 43.002


@pytest.mark.parametrize("year", [1970, 2009])
def test_stamp_of_another_age_is_dropped(buffer: PositionBuffer, driver: Driver, year: int) -> None:
    point = Point(lat=43, lng=76, recorded_at=dt.datetime(year, 1, 1, tzinfo=dt.UTC))
    assert buffer.report(driver.pk, [point]).dropped == 1
    assert not DriverPosition.objects.exists()


def test_stamp_of_the_far_future_is_now(buffer: PositionBuffer, driver: Driver) -> None:
    buffer.report(driver.pk, [Point(lat=43, lng=76, recorded_at=dt.datetime(2099, 12, 31, tzinfo=dt.UTC))])

    assert timezone.now() - stored(driver).recorded_at < MINUTE


def test_driver_who_does_not_exist_leaves_nothing(buffer: PositionBuffer) -> None:
    buffer.report(12345, [ago(1)])

    assert not DriverPosition.objects.exists()


# Who can be asked


@pytest.mark.parametrize(
    ("fields", "dispatchable"),
    [
        ({"availability": "available"}, True),
        ({"availability": "offline"}, False),
        ({"availability": "busy"}, False),
    ],
)
def test_first_fix_knows_whether_the_driver_can_be_asked(
    buffer: PositionBuffer, fields: dict[str, str], dispatchable: bool
) -> None:
    driver = DriverFactory(**fields)

    buffer.report(driver.pk, [ago(1)])

    assert stored(driver).dispatchable is dispatchable


def test_suspended_driver_is_refused_and_nothing_is_kept(buffer: PositionBuffer) -> None:
    driver = DriverFactory(availability="offline", approval="suspended")

    with pytest.raises(NotPermitted, match=r"driver\.not_approved"):
        buffer.report(driver.pk, [ago(1)])

    assert buffer.flush() == 0


def test_next_fix_leaves_what_availability_has_set(buffer: PositionBuffer, driver: Driver) -> None:
    buffer.report(driver.pk, [ago(10)])
    availability.set_online(driver.pk, False)

    buffer.report(driver.pk, [ago(5)])
    assert not stored(driver).dispatchable

    availability.set_online(driver.pk, True)
    buffer.report(driver.pk, [ago(1)])
    assert stored(driver).dispatchable


@pytest.mark.scaled_only
@pytest.mark.django_db(transaction=True)
def test_first_fix_and_the_switch_that_commit_together_see_each_other(buffer: PositionBuffer) -> None:
    """SQLite has one writer at a time, so there it cannot happen."""
    driver = DriverFactory()
    reporting = threading.Thread(target=_report_and_close, args=(buffer, driver.pk))

    with transaction.atomic():
        # The switch finds no position row yet, and the fix does not see the switch before this commits.
        availability._set_online(driver.pk, True)
        reporting.start()
        _until_somebody_waits_for_a_lock(reporting)
    reporting.join(10)

    assert stored(driver).dispatchable


def _report_and_close(buffer: PositionBuffer, driver_id: int) -> None:
    try:
        buffer.report(driver_id, [ago(1)])
    finally:
        connection.close()


def _until_somebody_waits_for_a_lock(thread: threading.Thread) -> None:
    with connection.cursor() as cursor:
        while thread.is_alive():
            cursor.execute(
                "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
                "WHERE NOT granted AND datname = current_database()"
            )
            if cursor.fetchone()[0]:
                return


# Coming online


def waiting_trip() -> Trip:
    return TripFactory(status="unfilled", next_look_at=timezone.now() + 15 * MINUTE)


def is_looked_at_now(trip: Trip) -> bool:
    trip.refresh_from_db()
    assert trip.next_look_at is not None
    return trip.next_look_at <= timezone.now() + SECOND


def test_first_fix_wakes_the_waiting_trips_around(buffer: PositionBuffer, driver: Driver) -> None:
    trip = waiting_trip()

    buffer.report(driver.pk, [ago(1, *ALMATY)])

    assert is_looked_at_now(trip)


def test_fix_of_who_was_dark_wakes_the_waiting_trips_around(buffer: PositionBuffer, driver: Driver) -> None:
    place(driver, *ALMATY, age=6 * MINUTE)
    trip = waiting_trip()

    buffer.report(driver.pk, [ago(1, *ALMATY)])

    assert is_looked_at_now(trip)


def test_fix_of_who_was_there_wakes_nothing(buffer: PositionBuffer, driver: Driver) -> None:
    place(driver, *ALMATY, age=4 * MINUTE)
    trip = waiting_trip()

    buffer.report(driver.pk, [ago(1, *ALMATY)])

    assert not is_looked_at_now(trip)


def test_fix_of_who_cannot_be_asked_wakes_nothing(buffer: PositionBuffer) -> None:
    trip = waiting_trip()

    buffer.report(DriverFactory().pk, [ago(1, *ALMATY)])

    assert not is_looked_at_now(trip)


# The trail


@pytest.mark.parametrize("status", ["en_route", "driver_arrived", "passengers_boarded", "in_transit", "arrived"])
def test_trail_of_a_trip_in_progress_is_kept(buffer: PositionBuffer, status: str) -> None:
    trip = TripFactory(status=status, driver=DriverFactory(), accepted_at=timezone.now() - 8 * SECOND)
    former_leg(trip, DriverFactory())

    buffer.report(trip.driver.pk, [ago(4, lat=43.002), ago(6, lat=43.001), ago(3.7, lat=43.009)])
    buffer.report(trip.driver.pk, [ago(10, lat=43), ago(1, lat=43.003)])

    # 43 is older than the trip, 43.009 was within the same second as 43.002.
    assert list(trip.trail.order_by("recorded_at").values_list("lat", flat=True)) == [43.001, 43.002, 43.003]
    assert set(trip.trail.values_list("driver", "leg", "jumped")) == {(trip.driver.pk, 2, False)}


@pytest.mark.parametrize("status", ["accepted", "completed", "cancelled"])
def test_trail_of_other_trips_is_not_kept(buffer: PositionBuffer, status: str) -> None:
    trip = TripFactory(status=status, driver=DriverFactory())

    buffer.report(trip.driver.pk, [ago(1)])

    assert not TrailPoint.objects.exists()


# Several drivers in one statement


def test_batch_of_first_newer_and_older_fixes(buffer: PositionBuffer, monkeypatch: pytest.MonkeyPatch) -> None:
    first, newer, older, gone = DriverFactory.create_batch(4)
    for driver in (newer, older):
        place(driver, 43, 76, age=5 * SECOND)
    monkeypatch.setattr(buffer, "flush", lambda: 0)  # as in a server: they are kept
    here = 43.001
    for driver, fix in (
        (newer, ago(2, here)),
        (older, ago(2, here, heading_deg=7)),
        (gone, ago(2)),
        (first, ago(2, here)),
    ):
        buffer.report(driver.pk, [fix])
    place(older, 3, 3, age=SECOND)  # by another process, meanwhile
    Driver.objects.filter(pk=gone.pk).delete()
    monkeypatch.undo()

    assert buffer.flush() == 4

    assert [stored(driver).lat for driver in (first, newer, older)] == [here, here, 3]
    assert (stored(first).heading_deg, stored(older).heading_deg) == (None, None)
    assert not DriverPosition.objects.filter(driver_id=gone.pk).exists()


@pytest.mark.scaled_only
@pytest.mark.django_db(transaction=True)
def test_rows_are_locked_in_ascending_order(buffer: PositionBuffer, monkeypatch: pytest.MonkeyPatch) -> None:
    drivers = DriverFactory.create_batch(3)
    # As they lie on the disk: the highest id first.
    for driver in reversed(drivers):
        place(driver, 43, 76, age=5 * SECOND)
    monkeypatch.setattr(buffer, "flush", lambda: 0)
    for driver in drivers:
        buffer.report(driver.pk, [ago(1, 43.002)])
    monkeypatch.undo()

    def flush() -> None:
        buffer.flush()
        connection.close()

    thread = threading.Thread(target=flush)
    with transaction.atomic():
        DriverPosition.objects.select_for_update().get(driver=drivers[1])
        thread.start()
        _until_somebody_waits_for_a_lock(thread)
        # It has the first and waits for the second: the third is free still.
        free = DriverPosition.objects.select_for_update(skip_locked=True).values_list("driver_id", flat=True)
        assert set(free) == {drivers[1].pk, drivers[2].pk}
    thread.join(10)

    assert [stored(driver).lat for driver in drivers] == [43.002] * 3


# Inside a server


@pytest.mark.django_db(transaction=True)
async def test_server_writes_what_it_holds_in_one_go_when_it_stops(buffer: PositionBuffer, layer: Any) -> None:
    drivers = await run_in_thread(DriverFactory.create_batch, 3)
    buffer.open()
    for seconds, lat in ((4, 43.001), (3, 43.002)):
        for driver in drivers:
            await run_in_thread(buffer.report, driver.pk, [ago(seconds, lat=lat)])

    await buffer.close()

    assert await run_in_thread(lambda: list(DriverPosition.objects.values_list("lat", flat=True))) == [43.002] * 3


@pytest.mark.django_db(transaction=True)
async def test_server_relays_to_the_watchers_of_the_trip_and_staff(buffer: PositionBuffer, layer: Any) -> None:
    trip = await run_in_thread(lambda: TripFactory(status="en_route", driver=DriverFactory(at=MEDEU)))
    on_trip, on_map = await layer.new_channel(), await layer.new_channel()
    await layer.group_add(groups.trip(trip.pk), on_trip)
    await layer.group_add(groups.STAFF, on_map)
    buffer.open()
    try:
        await run_in_thread(buffer.report, trip.driver.pk, [ago(0, *MEDEU, speed_kmh=60)])
        relayed = await asyncio.wait_for(layer.receive(on_trip), 5)
        mapped = await asyncio.wait_for(layer.receive(on_map), 5)
    finally:
        await buffer.close()

    assert relayed["type"] == mapped["type"] == "position.relayed"
    frame, on_staff_map = events.decode_frame(relayed["frame"]), events.decode_frame(mapped["frame"])
    assert (frame.trip_id, frame.driver_id, frame.lat, frame.speed_kmh) == (trip.pk, trip.driver.pk, MEDEU[0], 60)
    # By road 23.7 km from Medeu to the pickup, from there 25.3 km to the airport: 15 km at 40 km/h, the rest at 60.
    assert (frame.eta.pickup_min, frame.eta.dropoff_min) == (31, 64)
    assert (on_staff_map.trip_id, on_staff_map.driver_id) == (None, trip.driver.pk)


@pytest.mark.django_db(transaction=True)
def test_trail_that_cannot_be_written_takes_nobody_elses_with_it(
    buffer: PositionBuffer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    since = timezone.now() - MINUTE
    kept, gone = (TripFactory(status="en_route", driver=DriverFactory(), accepted_at=since) for _trip in range(2))
    monkeypatch.setattr(buffer, "flush", lambda: 0)
    for trip in (gone, kept):
        buffer.report(trip.driver.pk, [ago(1, lat=9)])
    gone.bookings.all().delete()
    Trip.objects.filter(pk=gone.pk).delete()
    monkeypatch.undo()

    assert buffer.flush() == 2

    assert [stored(trip.driver).lat for trip in (kept, gone)] == [9, 9]
    assert list(TrailPoint.objects.values_list("trip_id", flat=True)) == [kept.pk]
    assert f"write_trail_of failed for row {gone.pk}" in caplog.text
    # The process has learnt that the trip is gone.
    caplog.clear()
    assert buffer.report(gone.driver.pk, [ago(0, lat=9)]).accepted == 1
    assert not caplog.records


def test_position_that_cannot_be_written_stops_no_other(
    buffer: PositionBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = DriverFactory.create_batch(2)
    write = store.write_positions

    def refuse_one(fixes: Sequence[Fix]) -> None:
        if any(fix.driver_id == bad.pk for fix in fixes):
            raise DataError
        write(fixes)

    monkeypatch.setattr(buffer, "flush", lambda: 0)
    for driver in (bad, good):
        buffer.report(driver.pk, [ago(1, lat=9)])
    monkeypatch.undo()
    monkeypatch.setattr(store, "write_positions", refuse_one)

    buffer.flush()

    assert list(DriverPosition.objects.values_list("driver_id", flat=True)) == [good.pk]
    assert buffer._latest == {}


# An account that is deleted


def delete_account_of(driver: Driver) -> None:
    """As erasing an account leaves it."""
    DriverPosition.objects.filter(driver=driver).delete()
    driver.user.is_active = False
    driver.user.save()


def test_position_on_its_way_does_not_outlive_the_account(
    buffer: PositionBuffer, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer.report(driver.pk, [ago(5)])
    monkeypatch.setattr(buffer, "flush", lambda: 0)
    buffer.report(driver.pk, [ago(1)])
    delete_account_of(driver)
    monkeypatch.undo()

    buffer.flush()

    assert not DriverPosition.objects.exists()


@pytest.mark.scaled_only
@pytest.mark.django_db(transaction=True)
def test_first_position_waits_for_a_deletion_that_is_under_way(buffer: PositionBuffer, driver: Driver) -> None:
    """SQLite has one writer at a time."""
    reporting = threading.Thread(target=_report_and_close, args=(buffer, driver.pk))
    with transaction.atomic():
        delete_account_of(driver)
        reporting.start()
        _until_somebody_waits_for_a_lock(reporting)
    reporting.join(10)

    assert not DriverPosition.objects.exists()


def test_process_forgets_where_a_driver_was_whose_account_is_closed(
    buffer: PositionBuffer, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffer, "flush", lambda: 0)
    buffer.report(driver.pk, [ago(5)])
    buffer.report(driver.pk, [ago(1, lat=50)])  # kept aside
    delete_account_of(driver)
    buffer.facts.forget_driver(driver.pk)

    with pytest.raises(NotPermitted):
        buffer.report(driver.pk, [ago(0)])

    assert (buffer._last, buffer._latest, buffer._doubts) == ({}, {}, {})
    assert buffer.latest(driver.pk, None) is None


def test_process_forgets_who_sends_nothing_any_more(buffer: PositionBuffer, driver: Driver) -> None:
    buffer.report(driver.pk, [ago(5)])
    buffer.facts.forget_driver(driver.pk)
    buffer.load_facts(driver.pk)

    buffer._forget_idle(time.monotonic() + 3000)
    assert driver.pk in buffer._last
    buffer._forget_idle(time.monotonic() + 4000)

    assert buffer._last == {}
    assert buffer.facts._forgotten == {}
    assert buffer.report(driver.pk, [ago(10)]).dropped == 1  # the stored fix is newer


# The last known position


def test_last_known_is_replayed_while_it_is_fresh() -> None:
    trip = TripFactory(status="in_transit")
    place(trip.driver, *MEDEU, age=299 * SECOND)

    frame = last_known(trip, ServiceSettings.current())

    assert (frame.trip_id, frame.lat, frame.lng) == (trip.pk, *MEDEU)
    # Aboard there is no pickup any more: 25.5 km by road to the airport.
    assert frame.eta.pickup_min is None
    assert frame.eta.dropoff_min == 33
    place(trip.driver, *MEDEU, age=301 * SECOND)
    assert last_known(trip, ServiceSettings.current()) is None


@pytest.mark.parametrize("status", ["offered", "completed", "cancelled"])
def test_last_known_is_of_trips_with_a_driver_only(status: str) -> None:
    driver = None if status == "offered" else DriverFactory(at=AIRPORT)

    assert last_known(TripFactory(status=status, driver=driver), ServiceSettings.current()) is None


def test_last_known_of_a_driver_without_a_position_is_none() -> None:
    assert last_known(TripFactory(status="en_route", driver=DriverFactory()), ServiceSettings.current()) is None
