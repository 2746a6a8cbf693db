"""Which fixes are believed: through the buffer, as every transport reports them, on both databases."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.layers import get_channel_layer
from time_machine import TimeMachineFixture

from drivers.models import Driver, DriverPosition, TrailPoint
from drivers.positions import buffer as positions_buffer
from drivers.positions.buffer import PositionBuffer
from drivers.positions.types import ReportResult
from realtime import events, groups
from realtime.events import Point
from stepper.db.transactions import run_in_thread
from stepper.models import ServiceSettings
from tests.factories import AIRPORT, ALMATY, DriverFactory, TripFactory, place
from trips.models import Trip

pytestmark = pytest.mark.django_db

MUNICH, BENIN = (48.1372, 11.5755), (6.3654, 2.4183)
# The database has a clock of its own, which is not moved.
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
SECOND = dt.timedelta(seconds=1)


class Phone:
    """A driver's phone that reports to one process, and the clock."""

    def __init__(self, clock: TimeMachineFixture, driver: Driver, buffer: PositionBuffer | None = None) -> None:
        self.clock, self.driver = clock, driver
        self.buffer = buffer or PositionBuffer()

    def report(self, lat: float, lng: float, after: float = 0, **fields: Any) -> ReportResult:
        """A fix of now, so many seconds after the one before."""
        self.clock.shift(after * SECOND)
        return self.buffer.report(self.driver.pk, [Point(lat=lat, lng=lng, **fields)])

    @property
    def position(self) -> DriverPosition:
        return DriverPosition.objects.get(driver=self.driver)

    @property
    def here(self) -> tuple[float, float]:
        return self.position.lat, self.position.lng


BELIEVED = ReportResult(accepted=1, dropped=0, kept_aside=0, clamped=0)
KEPT_ASIDE = ReportResult(accepted=0, dropped=0, kept_aside=1, clamped=0)
DROPPED = ReportResult(accepted=0, dropped=1, kept_aside=0, clamped=0)


@pytest.fixture
def phone(time_machine: TimeMachineFixture) -> Phone:
    """Of a driver who is online in Munich and was heard of just now."""
    time_machine.move_to(NOW, tick=False)
    return Phone(time_machine, DriverFactory(at=MUNICH))


@pytest.fixture
async def layer() -> AsyncIterator[Any]:
    layer = get_channel_layer()
    yield layer
    await layer.flush()
    await layer.close()


# Kept aside


@pytest.mark.parametrize(
    "there",
    [BENIN, (MUNICH[0], -MUNICH[1]), (MUNICH[1], MUNICH[0]), (MUNICH[0] + 0.02, MUNICH[1])],
    ids=["another continent", "longitude flipped", "latitude and longitude swapped", "2 km away"],
)
def test_jump_is_kept_aside_and_puts_the_position_in_doubt(phone: Phone, there: tuple[float, float]) -> None:
    assert phone.report(*there, after=6) == KEPT_ASIDE

    assert phone.here == MUNICH
    assert phone.position.jumped
    assert phone.position.recorded_at == NOW


@pytest.mark.parametrize(("seconds", "result"), [(287, KEPT_ASIDE), (289, BELIEVED)])
def test_nobody_drives_faster_than_the_settings_say(phone: Phone, seconds: float, result: ReportResult) -> None:
    """20.0 km north: 288 s at 250 km/h."""
    assert phone.report(MUNICH[0] + 0.17986, MUNICH[1], after=seconds) == result


def test_settings_say_how_fast_is_believed(phone: Phone) -> None:
    ServiceSettings.objects.create(pk=1, max_speed_kmh=2000)

    assert phone.report(MUNICH[0] + 0.02, MUNICH[1], after=6) == BELIEVED


@pytest.mark.parametrize(("hours", "result"), [(18, KEPT_ASIDE), (19, BELIEVED), (25, BELIEVED)])
def test_phone_that_was_off_may_be_as_far_as_one_can_go(phone: Phone, hours: int, result: ReportResult) -> None:
    """4,710 km, which is 18.8 h; after a day anywhere."""
    assert phone.report(*BENIN, after=3600 * hours) == result
    there = Phone(phone.clock, DriverFactory(at=MUNICH))
    assert there.report(-41.29, 174.78, after=3600 * hours) == (BELIEVED if hours == 25 else KEPT_ASIDE)


def test_first_fix_of_a_driver_is_believed(phone: Phone) -> None:
    assert Phone(phone.clock, DriverFactory()).report(*BENIN) == BELIEVED


def test_short_steps_add_up_to_no_speed_that_nobody_drives(phone: Phone) -> None:
    """Each is nearer than two fixes may differ: as many as a batch holds would be 40 km in a moment."""
    steps = [Point(lat=MUNICH[0] + n * 0.0036, lng=MUNICH[1], recorded_at=NOW + n * SECOND / 1000) for n in range(101)]
    phone.clock.shift(SECOND)

    result = phone.buffer.report(phone.driver.pk, steps[1:])

    assert (result.accepted, result.kept_aside) == (1, 99)
    assert phone.here[0] < MUNICH[0] + 0.0045


def test_driver_who_turns_round_a_block_is_believed_all_the_time(phone: Phone) -> None:
    """50 km/h, wandering by 60 m, for ten minutes."""
    for n in range(1, 601):
        north = n * 50 / 3600 / 111.195
        assert phone.report(MUNICH[0] + north, MUNICH[1] + n % 2 * 0.0008, after=1) == BELIEVED


def test_points_of_a_clock_ahead_are_judged_from_the_fix_before_them(phone: Phone) -> None:
    """Collected in a tunnel of 3 km, and clamped to one instant."""
    phone.clock.shift(180 * SECOND)
    ahead = [
        Point(lat=MUNICH[0] + n * 0.009, lng=MUNICH[1], recorded_at=NOW + (600 + 60 * n) * SECOND) for n in (1, 2, 3)
    ]

    assert phone.buffer.report(phone.driver.pk, ahead) == ReportResult(3, 0, 0, 3)
    assert phone.here == (MUNICH[0] + 3 * 0.009, MUNICH[1])


# Until two more agree


def test_three_that_agree_over_20_s_move_the_position(phone: Phone) -> None:
    assert [phone.report(BENIN[0], BENIN[1] + n / 1000, after=10) for n in range(3)] == [
        KEPT_ASIDE,
        KEPT_ASIDE,
        BELIEVED,
    ]

    assert phone.here == (BENIN[0], BENIN[1] + 0.002)
    assert not phone.position.jumped
    assert phone.report(*BENIN, after=1) == BELIEVED


def test_as_many_as_a_batch_holds_do_not_move_it_at_once(phone: Phone) -> None:
    phone.clock.shift(60 * SECOND)
    batch = [Point(lat=BENIN[0], lng=BENIN[1], recorded_at=NOW + n * SECOND / 2) for n in range(1, 101)]

    for _again in range(3):
        assert phone.buffer.report(phone.driver.pk, batch).accepted == 0
        phone.clock.shift(SECOND)
    assert phone.here == MUNICH
    assert phone.position.jumped


def test_two_over_a_minute_do_not_move_it(phone: Phone) -> None:
    assert [phone.report(*BENIN, after=60) for _n in range(2)] == [KEPT_ASIDE] * 2


def test_those_that_do_not_agree_never_move_it(phone: Phone) -> None:
    for n in range(20):
        assert phone.report(BENIN[0] + n % 2, BENIN[1], after=10) == KEPT_ASIDE
    assert phone.here == MUNICH


def test_plausible_fix_in_between_discards_what_was_kept_aside(phone: Phone) -> None:
    for _n in range(2):
        phone.report(*BENIN, after=15)
    assert phone.report(MUNICH[0] + 0.001, MUNICH[1], after=1) == BELIEVED
    assert not phone.position.jumped

    assert [phone.report(*BENIN, after=15) for _n in range(2)] == [KEPT_ASIDE] * 2
    assert phone.here == (MUNICH[0] + 0.001, MUNICH[1])


def test_jump_after_a_plausible_fix_of_the_same_batch_puts_that_in_doubt(phone: Phone) -> None:
    phone.clock.shift(10 * SECOND)
    batch = [
        Point(lat=MUNICH[0] + 0.001, lng=MUNICH[1], recorded_at=NOW + 5 * SECOND),
        Point(lat=BENIN[0], lng=BENIN[1], recorded_at=NOW + 9 * SECOND),
    ]

    assert phone.buffer.report(phone.driver.pk, batch) == ReportResult(1, 0, 1, 0)
    assert (phone.here, phone.position.jumped) == ((MUNICH[0] + 0.001, MUNICH[1]), True)


# What says nothing


@pytest.mark.parametrize(
    ("lat", "lng", "accuracy_m", "result"),
    [
        (0.0, 0.0, None, DROPPED),
        (-0.0009, 0.0009, 5, DROPPED),
        (0.0, 10.0, None, BELIEVED),
        (*MUNICH, 1001, DROPPED),
        (*MUNICH, 1000, BELIEVED),
    ],
)
def test_nowhere_and_inaccurate_are_dropped(
    phone: Phone, lat: float, lng: float, accuracy_m: float | None, result: ReportResult
) -> None:
    driver = DriverFactory()

    assert Phone(phone.clock, driver).report(lat, lng, accuracy_m=accuracy_m) == result
    assert DriverPosition.objects.filter(driver=driver).exists() is (result == BELIEVED)


def test_stamps_of_the_future_are_counted(phone: Phone) -> None:
    assert phone.report(*MUNICH, after=1, recorded_at=NOW + 60 * SECOND) == ReportResult(1, 0, 0, 1)


# Nothing else uses it


def test_neither_a_jump_nor_nowhere_is_in_the_trail(phone: Phone) -> None:
    trip = TripFactory(status="in_transit", driver=phone.driver)
    phone.report(*BENIN, after=5)
    phone.report(0, 0, after=5)
    phone.report(MUNICH[0] + 0.001, MUNICH[1], after=5)

    assert list(TrailPoint.objects.values_list("trip", "lat")) == [(trip.pk, MUNICH[0] + 0.001)]


@pytest.mark.django_db(transaction=True)
async def test_jump_is_not_relayed(layer: Any) -> None:
    buffer = PositionBuffer()
    trip = await run_in_thread(lambda: TripFactory(status="en_route"))
    watching = await layer.new_channel()
    await layer.group_add(groups.trip(trip.pk), watching)
    await run_in_thread(buffer.load_facts, trip.driver.pk)
    buffer.open()
    try:
        # On the loop, the way of most fixes.
        assert buffer.report_now(trip.driver.pk, [Point(lat=BENIN[0], lng=BENIN[1])]) == KEPT_ASIDE
        # Neither that one nor the believed one once more: the next message is the next that is sent.
        await layer.group_send(groups.trip(trip.pk), {"type": "end"})
        assert (await asyncio.wait_for(layer.receive(watching), 5))["type"] == "end"
        assert buffer.report_now(trip.driver.pk, [Point(lat=ALMATY[0] + 0.001, lng=ALMATY[1])]) == BELIEVED
        relayed = await asyncio.wait_for(layer.receive(watching), 5)
    finally:
        await buffer.close()

    frame = events.decode_frame(relayed["frame"])
    assert (frame.lat, frame.lng) == (ALMATY[0] + 0.001, ALMATY[1])


def waiting_trip() -> Trip:
    return TripFactory(status="unfilled", next_look_at=NOW + dt.timedelta(days=1), pickup=MUNICH)


def is_looked_at_now(trip: Trip) -> bool:
    trip.refresh_from_db()
    assert trip.next_look_at is not None
    return trip.next_look_at < NOW + dt.timedelta(days=1)


@pytest.mark.parametrize(("seconds", "woken"), [(5, False), (25, True)])
def test_end_of_a_long_doubt_wakes_the_waiting_trips_around(phone: Phone, seconds: int, woken: bool) -> None:
    """Not that of a moment's: a phone could have them looked at with each of its fixes."""
    trip = waiting_trip()
    phone.report(*BENIN, after=5)
    phone.report(*MUNICH, after=seconds)

    assert is_looked_at_now(trip) is woken


# Several processes


def test_restart_forgets_what_was_kept_aside_but_not_the_doubt(phone: Phone) -> None:
    for _n in range(2):
        phone.report(*BENIN, after=15)
    again = Phone(phone.clock, phone.driver)

    assert [again.report(*BENIN, after=15) for _n in range(2)] == [KEPT_ASIDE] * 2
    assert again.position.jumped
    assert again.report(*BENIN, after=15) == BELIEVED
    assert not again.position.jumped


def test_process_that_heard_long_ago_judges_from_what_another_one_stored(
    phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a second connection, kept silent for hours, could put a driver who is far away anywhere."""
    monkeypatch.setattr(positions_buffer, "_NEWEST_FOR_S", -1.0)
    phone.report(*MUNICH, after=1)
    other = Phone(phone.clock, phone.driver)
    for _n in range(120):
        other.report(*MUNICH, after=60)

    assert phone.report(MUNICH[0] + 3, MUNICH[1], after=60) == KEPT_ASIDE
    assert phone.here == MUNICH


def test_doubt_does_not_touch_what_another_process_stored_later(phone: Phone) -> None:
    phone.report(*MUNICH, after=1)
    place(phone.driver, *AIRPORT)
    DriverPosition.objects.update(recorded_at=NOW + 30 * SECOND)

    phone.report(*BENIN, after=5)

    assert (phone.here, phone.position.jumped) == (AIRPORT, False)


def test_doubt_leaves_the_rest_of_the_stored_position_as_it_is(phone: Phone) -> None:
    DriverPosition.objects.update(heading_deg=90, speed_kmh=40, accuracy_m=8)

    phone.report(*BENIN, after=5)

    row = phone.position
    assert (row.jumped, row.heading_deg, row.speed_kmh, row.accuracy_m, row.dispatchable) == (True, 90, 40, 8, True)
