"""Create demo people to sign in as: thirty drivers, two passengers, staff of each role, all with one password.

Refuses where DEBUG is off, because everybody knows the password. Repeating it adds only who is missing; the
history of driver1 and passenger1 is written when driver1 is created, so that their pages have something to show.
"""

import datetime as dt
from argparse import ArgumentParser
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Manager, Q
from django.utils import timezone

from drivers.geo import cell
from drivers.models import Approval, Driver, Vehicle
from stepper import roles
from stepper.models import ServiceSettings, User
from stepper.simulator.people import DEMO_DOMAIN, DEMO_PASSENGERS, DEMO_PASSWORD, TRIPS_AT_ONCE
from trips import eta, pricing
from trips.models import Booking, DispatchRound, Offer, PickupArea, Rating, Trip, TripTransition
from trips.states import STEPS, BookingStatus, OfferStatus, Role, TripStatus, Urgency, VehicleClass

DRIVER, PASSENGER, STAFF = (f"{name}@{DEMO_DOMAIN}" for name in ("driver1", "passenger1", "staff"))
# Of each role one; `staff` is a superuser beside them.
STAFF_BY_ROLE = {
    "dispatcher": "Zhanar Dispatcher",
    "support": "Ilyas Support",
    "finance": "Laura Finance",
    "administrator": "Murat Administrator",
}

DRIVERS = (
    "Daniyar Seitkali", "Aigerim Nurlanova", "Yerlan Abdrakhmanov", "Sergey Kim", "Nurlan Akhmetov",
    "Bauyrzhan Omarov", "Olga Petrova", "Kanat Zhumabekov", "Marat Iskakov", "Gulnara Sadykova",
    "Alexey Volkov", "Askar Tulegenov", "Dinara Bekova", "Timur Rakhimov", "Ruslan Kassymov",
    "Zhanna Mukhametova", "Viktor Tsoy", "Arman Dzhaksybekov", "Saule Ibraeva", "Dmitry Sokolov",
    "Yerbol Kenzhebayev", "Madina Alimova", "Talgat Suleimenov", "Igor Lee", "Asel Baimukhanova",
    "Serik Mukanov", "Natalya Kovaleva", "Azamat Yessimov", "Galym Orazbayev", "Pavel Morozov",
)  # fmt: skip
PASSENGERS = ("Aliya Karimova", "Anton Vlasov")
FIRST_STAFF = len(DRIVERS) + len(PASSENGERS)


class Car(NamedTuple):
    make: str
    model: str
    vehicle_class: VehicleClass
    seats: int


# Half of the fleet are sedans, as in the city.
FLEET = (
    Car("Toyota", "Camry", VehicleClass.SEDAN, 4),
    Car("Hyundai", "Sonata", VehicleClass.SEDAN, 4),
    Car("Toyota", "Land Cruiser Prado", VehicleClass.SUV, 6),
    Car("Kia", "K5", VehicleClass.SEDAN, 4),
    Car("Hyundai", "Staria", VehicleClass.VAN, 8),
    Car("Chevrolet", "Cobalt", VehicleClass.SEDAN, 4),
    Car("Hyundai", "Santa Fe", VehicleClass.SUV, 6),
    Car("Skoda", "Octavia", VehicleClass.SEDAN, 4),
    Car("Mercedes-Benz", "V-Class", VehicleClass.VAN, 7),
    Car("Mercedes-Benz", "Sprinter", VehicleClass.BUS, 18),
)
COLOURS = ("White", "Black", "Silver", "Grey", "Blue", "Red", "Green")
# Cyrillic and Latin look alike in these; a Kazakh plate uses nothing else.
PLATE_LETTERS = "ABEKMHOPCTX"


class Place(NamedTuple):
    name: str
    address: str
    lat: float
    lng: float

    @property
    def point(self) -> tuple[float, float]:
        return self.lat, self.lng


AIRPORT = Place("Almaty airport", "Mailin Street 2", 43.3521, 77.0405)
CENTRE = Place("Almaty, Abay Square", "Dostyk Avenue 56", 43.2430, 76.9577)
KOK_TOBE = Place("Kok-Tobe", "Dostyk Avenue 104B", 43.2304, 76.9569)
MEDEU = Place("Medeu", "Gornaya Street 465", 43.1622, 77.0800)
SHYMBULAK = Place("Shymbulak", "Gornaya Street 640", 43.1381, 77.0658)
CHARYN = Place("Charyn canyon", "", 43.3458, 79.0906)


class Past(NamedTuple):
    """A trip of the history: how long ago it began, and what each side gave the other."""

    ago: dt.timedelta
    pickup: Place
    dropoff: Place
    seats: int
    stars_for_driver: int
    comment: str
    stars_for_passenger: int | None


HISTORY = (
    Past(dt.timedelta(hours=2), CENTRE, AIRPORT, 2, 5, "Very smooth, helped with the bags.", 5),
    Past(dt.timedelta(hours=4), KOK_TOBE, CENTRE, 1, 5, "", None),
    Past(dt.timedelta(days=1, hours=3), AIRPORT, CENTRE, 3, 4, "Found me at once.", 5),
    Past(dt.timedelta(days=2, hours=8), CENTRE, MEDEU, 2, 5, "", 5),
    Past(dt.timedelta(days=3, hours=10), CENTRE, CHARYN, 4, 5, "A long day and a safe drive.", 4),
    Past(dt.timedelta(days=5, hours=6), SHYMBULAK, KOK_TOBE, 2, 4, "", 5),
)


def plate(number: int) -> str:
    """Return the plate of demo vehicle `number`, for example "482 ABX 02" (02: Almaty)."""
    digits = 101 + number * 127 % 899
    letters = (PLATE_LETTERS[(number * step + shift) % len(PLATE_LETTERS)] for step, shift in ((1, 0), (3, 1), (7, 2)))
    return f"{digits} {''.join(letters)} 02"


class Command(BaseCommand):
    help = f"Creates the demo accounts (password {DEMO_PASSWORD}) with vehicles and a little history."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do it even though DEBUG is off")

    def handle(self, *args: Any, yes: bool, verbosity: int, **options: Any) -> None:
        if not settings.DEBUG and not yes:
            raise CommandError(
                "DEBUG is off, so this looks like a real service, and everybody knows the demo accounts' password. "
                "Repeat with --yes if you mean it."
            )
        created = create_people()
        add_sample_contact()
        if verbosity:
            found = "all there already" if not created else f"{created} created"
            self.stdout.write(f"Demo accounts: {found}; password {DEMO_PASSWORD}")


def add_sample_contact() -> None:
    """Enter a contact of the staff, where there is none: pages send people to it. No such number is in use."""
    settings_row = ServiceSettings.current()
    if not settings_row.support:
        settings_row.support_phone, settings_row.support_hours = "+77015550000", "08:00–22:00"
        settings_row.save()


class Account(NamedTuple):
    """An account of the demo; its position decides phone number, vehicle and licence."""

    position: int
    email: str
    name: str

    @property
    def phone(self) -> str:
        """The account's phone number; 555 numbers are nobody's."""
        return f"+7701555{self.position + 1:04}"


def _all_accounts() -> list[Account]:
    """List the accounts of the demo; drivers come first, so that the first positions are theirs."""
    people = (
        [(f"driver{number}@{DEMO_DOMAIN}", name) for number, name in enumerate(DRIVERS, 1)]
        + [(f"passenger{number}@{DEMO_DOMAIN}", name) for number, name in enumerate(PASSENGERS, 1)]
        + [(STAFF, "Asem Staff")]
        + [(f"{role}@{DEMO_DOMAIN}", name) for role, name in STAFF_BY_ROLE.items()]
    )
    return [Account(position, email, name) for position, (email, name) in enumerate(people)]


def _missing_accounts() -> list[Account]:
    """List who is missing, by address or number: whoever tried the account page may have another address."""
    accounts = _all_accounts()
    people = User.objects.filter(
        Q(email__in=[one.email for one in accounts]) | Q(phone__in=[one.phone for one in accounts])
    )
    known = {value for person in people for value in (person.email, str(person.phone))}
    return [one for one in accounts if one.email not in known and one.phone not in known]


@transaction.atomic
def create_people() -> int:
    """Create the accounts that are missing, with vehicles and history, and return how many they were."""
    # Also an account that an older version of the demo created.
    User.objects.filter(email__in=DEMO_PASSENGERS, max_overlapping_trips=None).update(
        max_overlapping_trips=TRIPS_AT_ONCE
    )
    missing = _missing_accounts()
    if not missing:
        return 0
    # Drivers wait in the car park there, passengers are somewhere in the terminal.
    PickupArea.objects.get_or_create(
        name=AIRPORT.name,
        defaults={"lat": AIRPORT.lat, "lng": AIRPORT.lng, "radius_m": 1500, "arrival_radius_m": 1500},
    )
    users = _create_users(missing)
    _give_roles(users)
    _give_vehicles([(account.position, user) for account, user in zip(missing, users, strict=True)])
    if any(account.email == DRIVER for account in missing):
        driver = Driver.objects.select_related("user").get(user__email=DRIVER)
        write_history(driver, Vehicle.objects.get(driver=driver), User.objects.get(email=PASSENGER))
    return len(users)


def _create_users(accounts: Sequence[Account]) -> list[User]:
    """Create a user for each account. They share one hash: computing one takes a noticeable time."""
    password = make_password(DEMO_PASSWORD)
    return User.objects.bulk_create(
        User(
            email=account.email,
            phone=account.phone,
            phone_verified_at=timezone.now(),
            name=account.name,
            password=password,
            is_staff=account.position >= FIRST_STAFF,
            is_superuser=account.email == STAFF,
            max_overlapping_trips=TRIPS_AT_ONCE if account.email in DEMO_PASSENGERS else None,
        )
        for account in accounts
    )


def _give_roles(users: Sequence[User]) -> None:
    roles.make_groups()
    for user in users:
        role = roles.BY_KEY.get(str(user.email).partition("@")[0])
        if role is not None:
            user.groups.add(Group.objects.get(name=role.group_name))


def _give_vehicles(users: list[tuple[int, User]]) -> None:
    drivers = [(position, user) for position, user in users if position < len(DRIVERS)]
    vehicles = Vehicle.objects.bulk_create(
        Vehicle(
            **FLEET[position % len(FLEET)]._asdict(),
            colour=COLOURS[position % len(COLOURS)],
            plate=plate(position),
            year=2016 + position % 9,
        )
        for position, _user in drivers
    )
    expires_on = timezone.localdate() + dt.timedelta(days=2 * 365)
    Driver.objects.bulk_create(
        Driver(
            user=user,
            vehicle=vehicle,
            approval=Approval.APPROVED,
            licence_number=f"AB{position + 1:06}",
            licence_expires_on=expires_on,
        )
        for (position, user), vehicle in zip(drivers, vehicles, strict=True)
    )


class Times(NamedTuple):
    departure_at: dt.datetime
    accepted_at: dt.datetime
    aboard_at: dt.datetime
    completed_at: dt.datetime

    @classmethod
    def of(cls, past: Past, duration: dt.timedelta, now: dt.datetime) -> "Times":
        # Never in the future, however far the trip went.
        departure_at = min(now - past.ago, now - duration - dt.timedelta(minutes=30))
        return cls(
            departure_at,
            departure_at + dt.timedelta(seconds=25),
            departure_at + dt.timedelta(minutes=16),
            departure_at + duration + dt.timedelta(minutes=20),
        )


def write_history(driver: Driver, vehicle: Vehicle, passenger: User) -> None:
    """Write completed trips of the last days with everything that belongs to them, ratings included."""
    service, now = ServiceSettings.current(), timezone.now()
    trips, times = [], []
    for past in HISTORY:
        quote = pricing.quote(past.pickup.point, past.dropoff.point, past.seats, vehicle.vehicle_class, service)
        times.append(Times.of(past, dt.timedelta(minutes=quote.duration_min), now))
        trips.append(_trip(past, times[-1], quote=quote, driver=driver, vehicle=vehicle, passenger=passenger))
    Trip.objects.bulk_create(trips)
    chapters = list(zip(HISTORY, times, trips, strict=True))
    Offer.objects.bulk_create(_offer(when, trip, driver=driver, service=service) for _past, when, trip in chapters)
    ratings = [
        rating
        for past, when, trip in chapters
        for rating in _ratings(past, when, trip=trip, driver=driver, passenger=passenger)
    ]
    _create_in_the_past(
        [_booking(past, when, trip=trip, passenger=passenger) for past, when, trip in chapters],
        [
            DispatchRound(trip=trip, number=1, considered=1, offered=1, created_at=when.departure_at)
            for _past, when, trip in chapters
        ],
        [row for _past, when, trip in chapters for row in _transitions(when, trip, driver=driver, passenger=passenger)],
        ratings,
    )
    for _past, when, trip in chapters:
        trip.created_at = when.departure_at
    Trip.objects.bulk_update(trips, ["created_at"])
    for_driver = [rating.stars for rating in ratings if rating.about_id == driver.user_id]
    for_passenger = [rating.stars for rating in ratings if rating.about_id == passenger.pk]
    Driver.objects.filter(pk=driver.pk).update(rating_sum=sum(for_driver), rating_count=len(for_driver))
    User.objects.filter(pk=passenger.pk).update(rating_sum=sum(for_passenger), rating_count=len(for_passenger))


def _create_in_the_past(*lists: Sequence[Booking | DispatchRound | TripTransition | Rating]) -> None:
    """Create rows with their own `created_at`: `auto_now_add` stamps the insert, so a second statement writes it."""
    for rows in lists:
        stamps = [row.created_at for row in rows]
        table: Manager[Any] = type(rows[0])._default_manager
        table.bulk_create(rows)
        for row, stamp in zip(rows, stamps, strict=True):
            row.created_at = stamp
        table.bulk_update(rows, ["created_at"])


def _trip(past: Past, when: Times, *, quote: pricing.Quote, driver: Driver, vehicle: Vehicle, passenger: User) -> Trip:
    return Trip(
        organiser=passenger,
        status=TripStatus.COMPLETED,
        version=len(PATH),
        pickup_name=past.pickup.name,
        pickup_address=past.pickup.address,
        pickup_lat=past.pickup.lat,
        pickup_lng=past.pickup.lng,
        pickup_cell=cell(*past.pickup.point),
        dropoff_name=past.dropoff.name,
        dropoff_address=past.dropoff.address,
        dropoff_lat=past.dropoff.lat,
        dropoff_lng=past.dropoff.lng,
        departure_at=when.departure_at,
        ends_at=when.departure_at + dt.timedelta(minutes=quote.duration_min),
        search_until=when.departure_at + dt.timedelta(hours=1),
        vehicle_class=vehicle.vehicle_class,
        seats=past.seats,
        bags=past.seats - 1,
        distance_km=quote.distance_km,
        duration_min=quote.duration_min,
        zone=quote.zone,
        fare=quote.fare,
        platform_fee=quote.platform_fee,
        driver_earnings=quote.driver_earnings,
        seat_price=quote.seat_price,
        driver=driver,
        vehicle=vehicle,
        accepted_at=when.accepted_at,
        completed_at=when.completed_at,
        round_number=1,
    )


def _booking(past: Past, when: Times, *, trip: Trip, passenger: User) -> Booking:
    return Booking(
        trip=trip,
        passenger=passenger,
        status=BookingStatus.COMPLETED,
        seats=past.seats,
        amount=trip.fare,
        created_at=when.departure_at,
    )


def _offer(when: Times, trip: Trip, *, driver: Driver, service: ServiceSettings) -> Offer:
    approach_km = round(1.1 + trip.fare % 7 * 0.4, 1)
    return Offer(
        trip=trip,
        driver=driver,
        round_number=1,
        status=OfferStatus.ACCEPTED,
        urgency=Urgency.URGENT,
        difficulty=pricing.difficulty(trip.distance_km),
        distance_km=approach_km,
        pickup_min=eta.minutes(approach_km, eta.speeds_of(service)),
        created_at=when.departure_at,
        expires_at=when.departure_at + service.offer_ttl(Urgency.URGENT),
        responded_at=when.accepted_at,
    )


PATH = (
    (TripStatus.DRAFT, TripStatus.PUBLISHED, Role.ORGANISER),
    (TripStatus.PUBLISHED, TripStatus.OFFERED, Role.SYSTEM),
    (TripStatus.OFFERED, TripStatus.ACCEPTED, Role.DRIVER),
    *((before, after, Role.DRIVER) for before, after in pairwise(STEPS)),
)


def _transitions(when: Times, trip: Trip, *, driver: Driver, passenger: User) -> list[TripTransition]:
    minute = dt.timedelta(minutes=1)
    moments = [
        when.departure_at,
        when.departure_at + dt.timedelta(seconds=1),
        when.accepted_at,
        when.accepted_at + minute,
        when.aboard_at - 3 * minute,
        when.aboard_at,
        when.aboard_at + minute,
        when.completed_at - 2 * minute,
        when.completed_at,
    ]
    who = {Role.ORGANISER: passenger, Role.DRIVER: driver.user, Role.SYSTEM: None}
    return [
        TripTransition(trip=trip, from_status=before, to_status=after, role=role, by=who[role], created_at=at)
        for (before, after, role), at in zip(PATH, moments, strict=True)
    ]


def _ratings(past: Past, when: Times, *, trip: Trip, driver: Driver, passenger: User) -> list[Rating]:
    def rating(role: Role, by: User, *, about: User, stars: int, comment: str = "") -> Rating:
        at = when.completed_at + dt.timedelta(minutes=4)
        return Rating(trip=trip, role=role, by=by, about=about, stars=stars, comment=comment, created_at=at)

    given = [rating(Role.ORGANISER, passenger, about=driver.user, stars=past.stars_for_driver, comment=past.comment)]
    if past.stars_for_passenger is not None:
        given.append(rating(Role.DRIVER, driver.user, about=passenger, stars=past.stars_for_passenger))
    return given
