"""The fixed cast: rows as the tests want them, inserted directly, without the rules of the domain verbs.

Everybody's password is `PASSWORD`, hashed once.
"""

import datetime as dt
from functools import cache
from string import ascii_uppercase
from typing import Any

import factory
from django.contrib.auth.hashers import make_password
from django.utils import timezone
from factory.django import DjangoModelFactory

from drivers.geo import cell
from drivers.models import Approval, Availability, Driver, DriverPosition, Vehicle
from stepper.models import ServiceSettings, User
from trips import eta, pricing
from trips.models import Booking, Offer, Trip, TripLeg
from trips.states import ASSIGNED, DRIVING, BookingStatus, OfferStatus, TripStatus, Urgency, VehicleClass

PASSWORD = "correct horse battery"

ALMATY = (43.2220, 76.8512)
AIRPORT = (43.3521, 77.0405)
MEDEU = (43.1622, 77.0800)
ASTANA = (51.1694, 71.4491)


@cache
def _password_hash() -> str:
    return make_password(PASSWORD)


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User

    name = factory.Sequence(lambda n: f"Person Number{n}")
    email = factory.Sequence(lambda n: f"person{n}@example.test")
    phone = factory.Sequence(lambda n: f"+7702{n:07}")
    phone_verified_at = factory.LazyFunction(timezone.now)
    password = factory.LazyFunction(_password_hash)


class PassengerFactory(UserFactory):
    name = factory.Sequence(lambda n: f"Aliya Passenger{n}")
    email = factory.Sequence(lambda n: f"passenger{n}@example.test")


class StaffFactory(UserFactory):
    name = "Asem Staff"
    email = factory.Sequence(lambda n: f"staff{n}@example.test")
    is_staff = True
    is_superuser = True


class VehicleFactory(DjangoModelFactory[Vehicle]):
    class Meta:
        model = Vehicle

    make = "Toyota"
    model = "Camry"
    colour = "White"
    # Three digits, as plates have: a suite makes more than a thousand of them.
    plate = factory.Sequence(lambda n: f"{n % 1000:03} AB{ascii_uppercase[-(n // 1000) % 26 - 3]} 02")
    vehicle_class = VehicleClass.SEDAN
    seats = 4


class DriverFactory(DjangoModelFactory[Driver]):
    """`at=(lat, lng)`: online there, with a fresh position; without it offline, with none."""

    class Meta:
        model = Driver

    at: Any = None
    user = factory.SubFactory(
        UserFactory,
        name=factory.Sequence(lambda n: f"Daniyar Driver{n}"),
        email=factory.Sequence(lambda n: f"driver{n}@example.test"),
    )
    vehicle = factory.SubFactory(VehicleFactory)
    approval = Approval.APPROVED
    is_online = factory.LazyAttribute(lambda driver: driver.at is not None)
    availability = factory.LazyAttribute(
        lambda driver: Availability.AVAILABLE if driver.is_online else Availability.OFFLINE
    )
    licence_number = factory.Sequence(lambda n: f"AB{n:06}")
    licence_expires_on = factory.LazyFunction(lambda: timezone.localdate() + dt.timedelta(days=730))

    @classmethod
    def _create(cls, model_class: type[Driver], *args: Any, at: tuple[float, float] | None, **fields: Any) -> Driver:
        driver: Driver = super()._create(model_class, *args, **fields)
        if at is not None:
            place(driver, *at)
        return driver


def place(driver: Driver, lat: float, lng: float, age: dt.timedelta = dt.timedelta()) -> DriverPosition:
    """Puts a driver somewhere, `age` ago."""
    at = timezone.now() - age
    position, _created = DriverPosition.objects.update_or_create(
        driver=driver,
        defaults={
            "lat": lat,
            "lng": lng,
            "cell": cell(lat, lng),
            "recorded_at": at,
            "received_at": at,
            "dispatchable": driver.availability == Availability.AVAILABLE,
        },
    )
    return position


class TripFactory(DjangoModelFactory[Trip]):
    """A private trip and its booking, in any status; an assigned or completed one has a driver (given or made).

    `pickup`, `dropoff`: (lat, lng). `in_`: time until departure; zero is a trip for now.
    """

    class Meta:
        model = Trip

    class Params:
        pickup = ALMATY
        dropoff = AIRPORT
        in_ = dt.timedelta()
        taken = factory.LazyAttribute(lambda trip: trip.status in ASSIGNED or trip.status == TripStatus.COMPLETED)
        quote = factory.LazyAttribute(
            lambda trip: pricing.quote(
                trip.pickup, trip.dropoff, trip.seats, trip.vehicle_class, ServiceSettings.current()
            )
        )

    organiser = factory.SubFactory(PassengerFactory)
    status = TripStatus.OFFERED
    version = 1
    pickup_name = "Almaty"
    pickup_lat = factory.LazyAttribute(lambda trip: trip.pickup[0])
    pickup_lng = factory.LazyAttribute(lambda trip: trip.pickup[1])
    pickup_cell = factory.LazyAttribute(lambda trip: cell(*trip.pickup))
    dropoff_name = "Almaty airport"
    dropoff_lat = factory.LazyAttribute(lambda trip: trip.dropoff[0])
    dropoff_lng = factory.LazyAttribute(lambda trip: trip.dropoff[1])
    is_now = factory.LazyAttribute(lambda trip: not trip.in_)
    departure_at = factory.LazyAttribute(lambda trip: timezone.now() + trip.in_)
    ends_at = factory.LazyAttribute(lambda trip: trip.departure_at + dt.timedelta(minutes=trip.duration_min))
    search_until = factory.LazyAttribute(
        lambda trip: trip.departure_at + dt.timedelta(hours=1) if trip.is_now else trip.departure_at
    )
    vehicle_class = VehicleClass.SEDAN
    seats = 1
    distance_km = factory.LazyAttribute(lambda trip: trip.quote.distance_km)
    duration_min = factory.LazyAttribute(lambda trip: trip.quote.duration_min)
    zone = factory.LazyAttribute(lambda trip: trip.quote.zone)
    fare = factory.LazyAttribute(lambda trip: trip.quote.fare)
    platform_fee = factory.LazyAttribute(lambda trip: trip.quote.platform_fee)
    driver_earnings = factory.LazyAttribute(lambda trip: trip.fare - trip.platform_fee)
    seat_price = factory.LazyAttribute(lambda trip: trip.quote.seat_price)
    driver = factory.Maybe("taken", factory.SubFactory(DriverFactory, at=ALMATY), None)
    vehicle = factory.LazyAttribute(lambda trip: trip.driver.vehicle if trip.driver else None)
    accepted_at = factory.LazyAttribute(lambda trip: timezone.now() if trip.driver else None)
    completed_at = factory.LazyAttribute(lambda trip: timezone.now() if trip.status == TripStatus.COMPLETED else None)
    cancelled_at = factory.LazyAttribute(lambda trip: timezone.now() if trip.status == TripStatus.CANCELLED else None)
    round_number = factory.LazyAttribute(
        lambda trip: 0 if trip.status in {TripStatus.DRAFT, TripStatus.PUBLISHED} else 1
    )
    wave = factory.LazyAttribute(lambda trip: int(trip.status == TripStatus.OFFERED))
    reach_km = factory.LazyAttribute(lambda trip: 50.0 if trip.wave else None)
    next_look_at = factory.LazyAttribute(
        lambda trip: timezone.now() if trip.status in {TripStatus.PUBLISHED, TripStatus.UNFILLED} else None
    )

    @classmethod
    def _create(cls, model_class: type[Trip], *args: Any, **fields: Any) -> Trip:
        trip: Trip = super()._create(model_class, *args, **fields)
        Booking.objects.create(
            trip=trip,
            passenger=trip.organiser,
            status=_BOOKING.get(TripStatus(trip.status), BookingStatus.CONFIRMED),
            seats=trip.seats,
            amount=trip.fare,
        )
        if trip.driver and trip.status in DRIVING:
            Driver.objects.filter(pk=trip.driver.pk).update(availability=Availability.BUSY)
            DriverPosition.objects.filter(driver=trip.driver).update(dispatchable=False)
            trip.driver.availability = Availability.BUSY
        return trip


_BOOKING = {
    TripStatus.DRAFT: BookingStatus.PENDING,
    TripStatus.COMPLETED: BookingStatus.COMPLETED,
    TripStatus.CANCELLED: BookingStatus.CANCELLED,
}


class OfferFactory(DjangoModelFactory[Offer]):
    """An open offer of an offered trip to a driver who is online beside its pickup."""

    class Meta:
        model = Offer

    trip = factory.SubFactory(TripFactory)
    driver = factory.SubFactory(DriverFactory, at=ALMATY)
    round_number = 1
    status = OfferStatus.PENDING
    urgency = Urgency.URGENT
    difficulty = factory.LazyAttribute(lambda offer: pricing.difficulty(offer.trip.distance_km))
    distance_km = 1.2
    pickup_min = factory.LazyAttribute(lambda offer: eta.minutes(offer.distance_km, eta.speeds_of(ServiceSettings())))
    expires_at = factory.LazyFunction(lambda: timezone.now() + dt.timedelta(seconds=120))
    responded_at = factory.LazyAttribute(lambda offer: None if offer.status == OfferStatus.PENDING else timezone.now())


def former_leg(trip: Trip, driver: Driver) -> TripLeg:
    """The leg of a driver who handed the trip over on the way, for a tenth of its money."""
    Trip.objects.filter(pk=trip.pk).update(former_legs=1)
    trip.former_legs = 1
    assert driver.vehicle is not None
    at = timezone.now()
    leg: TripLeg = TripLeg.objects.create(
        trip=trip,
        number=1,
        driver=driver,
        vehicle=driver.vehicle,
        from_name="Where it began",
        from_lat=trip.pickup_lat,
        from_lng=trip.pickup_lng,
        to_name="Where they waited",
        to_lat=trip.pickup_lat,
        to_lng=trip.pickup_lng,
        started_at=at,
        ended_at=at,
        km=0,
        fare=trip.fare // 10,
        fee=trip.platform_fee // 10,
        departure_at=trip.departure_at,
        ends_at=trip.ends_at,
        is_now=trip.is_now,
    )
    return leg
