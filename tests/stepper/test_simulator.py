"""The virtual city: its geometry, its manners towards persons, and `manage.py simulate` against a real server."""

import asyncio
import datetime as dt
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db import connection

from drivers.models import Availability, Driver
from realtime import events
from stepper.db.transactions import run_in_thread
from stepper.models import User
from stepper.simulator import clock, people
from stepper.simulator.behaviour import Behaviour
from stepper.simulator.client import Account, Api, BackOff, Refused, Tally
from stepper.simulator.clock import Clock, Spot
from stepper.simulator.drivers import VirtualDriver
from stepper.simulator.passengers import VirtualPassenger, Watched
from stepper.simulator.people import Persons
from stepper.simulator.simulation import Courtesy
from tests.factories import (
    AIRPORT,
    ALMATY,
    MEDEU,
    PASSWORD,
    DriverFactory,
    OfferFactory,
    PassengerFactory,
    StaffFactory,
    TripFactory,
)
from tests.live import ROOT
from trips import bookings
from trips.models import Offer, Rating, Trip
from trips.states import STEPS, TripStatus

WAIT_S = 60
# A fraction of a second where the machine has nothing else to do.
ENDS_WITHIN_S = 10


# Geometry and patience


def test_towards_stays_on_the_way_and_ends_at_the_goal():
    start, goal = Spot(*ALMATY), Spot(*AIRPORT)
    whole = clock.km_between(start, goal)
    half = clock.towards(start, goal, whole / 2)
    assert clock.km_between(start, half) == pytest.approx(whole / 2, abs=0.001)
    assert clock.km_between(half, goal) == pytest.approx(whole / 2, abs=0.001)
    assert clock.towards(start, goal, whole + 1) == goal


@pytest.mark.parametrize(
    ("goal", "deg"), [((1, 0), 0), ((0, 1), 90), ((-1, 0), 180), ((0, -1), 270), ((0.0001, -0.0000001), 359.9)]
)
def test_heading_is_from_north_clockwise(goal, deg):
    heading = clock.heading_deg(Spot(0, 0), Spot(*goal))
    assert heading == deg
    assert 0 <= heading < 360


def test_away_crosses_the_date_line():
    spot = clock.away(Spot(0, 179.99), 90, 5)
    assert -180 <= spot.lng < -179.9


def test_speed_scales_people_and_driving():
    fast = Clock(60)
    assert fast.real_s(60) == 1
    assert fast.driving_s(40) == pytest.approx(60)


def test_back_off_doubles_up_to_ten_seconds_with_jitter():
    back_off = BackOff(Random(1))
    waits = [back_off.next_s() for _try in range(8)]
    longest = [1, 2, 4, 8, 10, 10, 10, 10]
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest, strict=True))
    back_off.reset()
    assert back_off.next_s() <= 1


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://"])
def test_a_wrong_address_is_refused(url):
    with pytest.raises(ValueError, match="is not an address"):
        Api(url, Tally())


def test_tally_counts_only_what_a_busy_city_does_not_explain():
    tally = Tally()
    tally.add_refusal("offer.taken")
    assert tally.total == 0
    tally.add_refusal("message.invalid")
    assert tally.trouble == {"refused with message.invalid": 1}


# Accounts


@pytest.mark.django_db
def test_made_people_sign_in_with_a_password_of_their_own_run():
    first = people.create_accounts("test", drivers=2, passengers=1)
    assert authenticate(None, email=first.drivers[0], password=first.password).driver.vehicle is not None
    again = people.create_accounts("test", drivers=3, passengers=1)
    assert User.objects.count() == 4
    assert Driver.objects.count() == 3
    assert authenticate(None, email=first.drivers[0], password=first.password) is None
    assert authenticate(None, email=first.drivers[0], password=again.password) is not None


@pytest.mark.django_db
def test_made_passengers_may_book_more_at_once_than_persons():
    crowd = people.create_accounts("test", drivers=1, passengers=2)
    users = User.objects.filter(email__in=[*crowd.drivers, *crowd.passengers]).order_by("pk")
    assert [user.max_overlapping_trips for user in users] == [None, people.TRIPS_AT_ONCE, people.TRIPS_AT_ONCE]


def test_people_of_two_groups_keep_their_passwords():
    demo = people.People(["driver2@demo.test"], [], "known")
    more = people.People(["simulated-driver-1@city.test"], ["simulated-passenger-1@city.test"], "random")
    crowd = demo.joined_by(more)
    assert crowd.drivers == ["driver2@demo.test", "simulated-driver-1@city.test"]
    assert [crowd.password_of(email) for email in crowd.drivers] == ["known", "random"]
    assert crowd.password_of("simulated-passenger-1@city.test") == "random"


def test_the_persons_accounts_are_left_to_them():
    taken = {*people.DEMO_DRIVERS, *people.DEMO_PASSENGERS}
    assert not taken & {"driver1@demo.test", "passenger1@demo.test", "staff@demo.test"}
    assert len(people.DEMO_DRIVERS) == 29


@pytest.mark.django_db
def test_simulate_makes_no_accounts_where_debug_is_off(settings):
    PassengerFactory(email=people.DEMO_DRIVERS[0])
    settings.DEBUG = False
    with pytest.raises(CommandError, match="--yes"):
        call_command("simulate", drivers=40)
    assert not User.objects.filter(email__endswith="@city.test").exists()


# Behaviour towards persons


@pytest.fixture
def bot(db):
    return DriverFactory(at=ALMATY)


@pytest.fixture
def person(db):
    return DriverFactory(at=ALMATY)


@pytest.fixture
def persons(bot):
    return Persons(frozenset([bot.user.email]))


def test_a_person_holds_an_offer_only_while_online_and_open(bot, person, persons):
    trip = TripFactory()
    OfferFactory(trip=trip, driver=bot)
    assert persons.hold_since(trip.pk) is None
    offer = OfferFactory(trip=trip, driver=person)
    offer.refresh_from_db()
    assert persons.hold_since(trip.pk) == offer.created_at
    Driver.objects.filter(pk=person.pk).update(availability=Availability.BUSY)
    assert persons.hold_since(trip.pk) is None
    Driver.objects.filter(pk=person.pk).update(availability=Availability.AVAILABLE)
    offer.expires_at = offer.created_at - dt.timedelta(seconds=1)
    offer.save()
    assert persons.hold_since(trip.pk) is None


def test_a_trip_of_a_person_is_known(bot, persons):
    assert persons.has_booked(TripFactory().pk)
    assert not persons.has_booked(TripFactory(organiser=bot.user).pk)


def card(trip: Trip, created_at: dt.datetime) -> events.OfferCreated:
    place = events.Place("Somewhere", "", *ALMATY)
    return events.OfferCreated(
        trip_id=trip.pk,
        offer_id=1,
        version=1,
        trip_type="private",
        title="",
        pickup=place,
        dropoff=place,
        departure_at=created_at,
        is_now=True,
        timezone="Asia/Almaty",
        seats=1,
        vehicle_seats=4,
        bags=0,
        fare=1000,
        earnings=850,
        distance_km=1.0,
        pickup_min=2,
        trip_km=5.0,
        trip_min=10,
        urgency="urgent",
        difficulty="easy",
        created_at=created_at,
        expires_at=created_at + dt.timedelta(seconds=120),
        cash=1000,
    )


async def waits(courtesy: Courtesy, offered: events.OfferCreated) -> float:
    started = asyncio.get_running_loop().time()
    await courtesy.wait(offered)
    return asyncio.get_running_loop().time() - started


@pytest.mark.django_db(transaction=True)
async def test_bots_leave_an_offer_to_the_person_for_a_while(bot, person, persons):
    courtesy = Courtesy(persons, alone_for=dt.timedelta(seconds=1))
    trip = await run_in_thread(partial(TripFactory, organiser=bot.user))
    assert await waits(courtesy, card(trip, clock.now())) < 0.5
    await run_in_thread(partial(OfferFactory, trip=trip, driver=person))
    assert await waits(courtesy, card(trip, clock.now())) >= 0.9
    # The person has had their time, or who booked has waited long enough.
    assert await waits(courtesy, card(trip, clock.now())) < 0.5
    await run_in_thread(partial(Offer.objects.filter(driver=person).update, created_at=clock.now()))
    assert await waits(courtesy, card(trip, clock.now() - dt.timedelta(seconds=60))) < 0.5
    assert await courtesy.may_decline(card(trip, clock.now()))


@pytest.mark.django_db(transaction=True)
async def test_bots_leave_the_trip_of_a_person_to_persons_while_one_can_take_it(bot, person, persons):
    courtesy = Courtesy(persons, switching=dt.timedelta(seconds=1), booked_alone_for=dt.timedelta(seconds=30))
    trip = await run_in_thread(TripFactory)
    assert not await courtesy.may_decline(card(trip, clock.now()))
    # Nobody is there to take it: time to change windows, then it is a bot's.
    assert 0.9 <= await waits(courtesy, card(trip, clock.now())) < 2
    await run_in_thread(partial(OfferFactory, trip=trip, driver=person))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(courtesy.wait(card(trip, clock.now() - dt.timedelta(seconds=60))), 2)
    # Rather a bot than nobody, before the offer ends.
    assert await waits(courtesy, card(trip, clock.now() - dt.timedelta(seconds=118))) < 0.5


# Against a real server


class Rater(Account):
    """Says when its rating has been taken."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.rated = asyncio.Event()

    async def call(self, method: str, path: str, *, body: Any = None, key: str | None = None) -> Any:
        answer = await super().call(method, path, body=body, key=key)
        if path.endswith("/rate"):
            self.rated.set()
        return answer


class City:
    """One virtual driver and one virtual passenger of a live server, at a pace at which a trip takes seconds."""

    def __init__(
        self, url: str, driver: Driver, passenger: User, at_pickup_s: tuple[float, float] = (20.0, 60.0)
    ) -> None:
        self.tally = Tally()
        self.api = Api(url, self.tally)
        behaviour = Behaviour(declines=0.0, moving_real_s=0.5, at_pickup_s=at_pickup_s)
        self.accounts = [
            Rater(self.api, user.email, password=PASSWORD, rng=Random(1)) for user in (driver.user, passenger)
        ]
        self.driver = VirtualDriver(
            self.accounts[0], Spot(*ALMATY), clock=Clock(600), rng=Random(2), behaviour=behaviour
        )
        self.passenger = VirtualPassenger(self.accounts[1], Random(4), self._seen)
        self.seen: list[TripStatus] = []
        self.reached: dict[TripStatus, asyncio.Event] = {status: asyncio.Event() for status in TripStatus}

    def _seen(self, trip: Watched) -> None:
        self.seen.append(trip.status)
        self.reached[trip.status].set()

    async def until(self, status: TripStatus) -> None:
        async with asyncio.timeout(WAIT_S):
            await self.reached[status].wait()

    async def __aenter__(self) -> "City":
        self.tasks = [asyncio.create_task(self.driver.run()), asyncio.create_task(self.passenger.run())]
        async with asyncio.timeout(WAIT_S):
            await self.driver.online.wait()
            await self.passenger.socket.connected.wait()
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.api.close()


@pytest.fixture
def driver(transactional_db):
    return DriverFactory()


@pytest.fixture
def passenger(transactional_db):
    return PassengerFactory()


def driven_by(trip_id: int) -> tuple[int | None, list[str]]:
    """Whose trip it is, and the steps that drivers took with it."""
    trip = Trip.objects.get(pk=trip_id)
    return trip.driver_id, list(
        trip.transitions.filter(role="driver").order_by("pk").values_list("to_status", flat=True)
    )


async def test_virtual_people_take_a_trip_from_booking_to_rating(live, driver, passenger):
    async with City(live.url, driver, passenger) as city:
        trip = await city.passenger.book(Spot(*ALMATY), Spot(*MEDEU), names=("Almaty", "Medeu"))
        await city.until(TripStatus.COMPLETED)
        async with asyncio.timeout(WAIT_S):
            for account in city.accounts:
                await account.rated.wait()
    assert await run_in_thread(Rating.objects.filter(trip_id=trip.trip_id).count) == 2
    assert await run_in_thread(driven_by, trip.trip_id) == (driver.pk, list(STEPS))
    assert city.driver.completed == 1
    assert clock.km_between(city.driver.spot, Spot(*MEDEU)) == 0
    assert city.tally.total == 0


@pytest.mark.embedded_only
async def test_virtual_driver_goes_by_way_of_the_stops(live, driver, passenger):
    stops = [Spot(43.2304, 76.9569), Spot(43.2000, 77.0000)]
    async with City(live.url, driver, passenger) as city:
        trip = await city.passenger.book(Spot(*ALMATY), Spot(*MEDEU), names=("Almaty", "Medeu"), stops=stops)
        await city.until(TripStatus.COMPLETED)
    assert (await Trip.objects.aget(pk=trip.trip_id)).stops_reached == 2
    assert city.tally.total == 0


async def test_virtual_people_go_on_after_the_server_was_killed(live, driver, passenger):
    # Long enough at the pickup for the server to be gone in the meantime.
    async with City(live.url, driver, passenger, at_pickup_s=(600.0, 600.0)) as city:
        trip = await city.passenger.book(Spot(*ALMATY), Spot(*MEDEU), names=("Almaty", "Medeu"))
        await city.until(TripStatus.DRIVER_ARRIVED)
        await asyncio.to_thread(live.restart)
        await city.until(TripStatus.COMPLETED)
    assert city.seen[-1] == TripStatus.COMPLETED
    assert await run_in_thread(driven_by, trip.trip_id) == (driver.pk, list(STEPS))
    assert city.tally.total == 0


@pytest.mark.embedded_only
async def test_a_cancelled_trip_frees_its_virtual_driver(live, driver, passenger):
    # Three seconds at the pickup, in which staff cancel.
    async with City(live.url, driver, passenger, at_pickup_s=(1800.0, 1800.0)) as city:
        trip = await city.passenger.book(Spot(*ALMATY), Spot(*MEDEU), names=("Almaty", "Medeu"))
        await city.until(TripStatus.DRIVER_ARRIVED)
        staff = await run_in_thread(StaffFactory)
        await run_in_thread(bookings.cancel, trip.trip_id, staff, "No longer needed")
        await city.until(TripStatus.CANCELLED)
        again = await city.passenger.book(Spot(*ALMATY), Spot(*MEDEU), names=("Almaty", "Medeu"))
        await city.until(TripStatus.COMPLETED)
    assert await run_in_thread(driven_by, again.trip_id) == (driver.pk, list(STEPS))


async def test_a_wrong_password_is_not_tried_again(live, driver):
    api = Api(live.url, Tally())
    account = Account(api, driver.user.email, password="wrong", rng=Random(1))
    with pytest.raises(Refused, match=r"auth\.invalid_credentials"):
        await account.token()
    await api.close()


# The command


def simulate(log: Path, *options: str, **environ: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "manage.py", "simulate", *options],
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


@pytest.mark.parametrize(
    "how",
    [
        # One each: the first booking takes its time, and how the city is ended has nothing to do with the database.
        pytest.param(signal.SIGINT, marks=pytest.mark.embedded_only),
        pytest.param(signal.SIGTERM, marks=pytest.mark.scaled_only),
    ],
)
def test_simulate_drives_and_books_and_ends_quietly(live, tmp_path, how):
    call_command("demo", "--yes", verbosity=0)
    before = set(Trip.objects.values_list("pk", flat=True))
    log = tmp_path / "city.log"
    database = live.whole_environment["DATABASE_URL"]
    running = simulate(log, "--url", live.url, "--drivers", "3", "--passengers", "1", DATABASE_URL=database)
    try:
        # The first booking comes after a few seconds; it is taken by one of theirs.
        _until(lambda: Trip.objects.exclude(pk__in=before).filter(driver__isnull=False).exists(), running)
        trip = Trip.objects.exclude(pk__in=before).select_related("organiser", "driver__user").latest("pk")
        assert trip.organiser.email == "passenger2@demo.test"
        online = set(Driver.objects.filter(is_online=True).values_list("user__email", flat=True))
        assert online == {f"driver{number}@demo.test" for number in (2, 3, 4)}
        running.send_signal(how)
        assert running.wait(ENDS_WITHIN_S) == 0
    finally:
        running.kill()
        running.wait()
        connection.close()
    assert "Traceback" not in log.read_text()


def _until(happened, running):
    """Looks until something has happened in the database; the city ending before that is a failure."""
    for _look in range(WAIT_S * 5):
        if happened():
            return
        try:
            running.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail("it did not happen")


async def test_a_suspended_virtual_driver_stops_working_quietly(monkeypatch):
    tally = Tally()
    account = Account(Api("http://127.0.0.1:1", tally), "driver@city.test", password="", rng=Random(1))
    driver = VirtualDriver(account, Spot(*ALMATY), clock=Clock(1), rng=Random(1), behaviour=Behaviour())
    sent = []

    async def send(command: events.Command) -> bool:
        sent.append(events.tag(command))
        return True

    monkeypatch.setattr(driver.socket, "send", send)
    await driver._send_spot(moving=False)
    refused = events.Error(code="driver.not_approved", message="Your account is suspended")
    driver.socket._handle_message(events.encode(refused).encode())
    await driver._send_spot(moving=False)
    await driver._go_online()

    assert sent == ["driver.location.update"]
    assert tally.total == 0
    await account.api.close()
