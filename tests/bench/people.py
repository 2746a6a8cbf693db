"""Drivers, passengers and their trips by the thousand, as the tests' cast has them, inserted in a few statements."""

from typing import Any

import factory
from django.utils import timezone

from drivers import geo
from drivers.models import Availability, Driver, DriverPosition, Vehicle
from stepper.api.tokens import sign_in
from stepper.models import User
from tests.factories import DriverFactory, PassengerFactory, TripFactory, UserFactory, VehicleFactory
from trips.models import Booking, Trip
from trips.states import BookingStatus, TripStatus

Point = tuple[float, float]


def passengers(count: int, **fields: Any) -> list[User]:
    return User.objects.bulk_create([PassengerFactory.build(**fields) for _ in range(count)])


def drivers(count: int, at: Point, availability: str = Availability.AVAILABLE) -> list[Driver]:
    """Online, all at one place, with a fresh position."""
    users = User.objects.bulk_create([UserFactory.build() for _ in range(count)])
    vehicles = Vehicle.objects.bulk_create([VehicleFactory.build() for _ in range(count)])
    made = []
    for user, vehicle in zip(users, vehicles, strict=True):
        fields = factory.build(dict, FACTORY_CLASS=DriverFactory, user=user, vehicle=vehicle)
        del fields["at"]
        made.append(Driver(**fields | {"is_online": True, "availability": availability}))
    Driver.objects.bulk_create(made)
    now = timezone.now()
    DriverPosition.objects.bulk_create(
        DriverPosition(
            driver=driver,
            lat=at[0],
            lng=at[1],
            cell=geo.cell(*at),
            recorded_at=now,
            received_at=now,
            dispatchable=availability == Availability.AVAILABLE,
        )
        for driver in made
    )
    return made


def rides(count: int, at: Point, seats: int = 1) -> list[Trip]:
    """Trips whose drivers are on their way to the pickup, with a vehicle full of passengers each."""
    behind_wheels = drivers(count, at, Availability.BUSY)
    crowd = iter(passengers(count * seats))
    groups = [[next(crowd) for _ in range(seats)] for _ in range(count)]
    trips = Trip.objects.bulk_create(
        [
            TripFactory.build(status=TripStatus.EN_ROUTE, driver=driver, organiser=group[0], seats=seats)
            for driver, group in zip(behind_wheels, groups, strict=True)
        ]
    )
    Booking.objects.bulk_create(
        Booking(trip=trip, passenger=one, status=BookingStatus.CONFIRMED, amount=trip.fare)
        for trip, group in zip(trips, groups, strict=True)
        for one in group
    )
    return trips


def aboard(trip: Trip) -> list[User]:
    return [one.passenger for one in trip.bookings.select_related("passenger").order_by("pk")]


def subprotocols(user: User) -> str:
    """What they say when connecting, signed in."""
    return f"stepper.v1, bearer.{token(user)}"


def token(user: User) -> str:
    access: Any = sign_in(user)["access"]
    return str(access)
