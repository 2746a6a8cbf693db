"""The drivers of the table of pages, one for each state that their pages show."""

import datetime as dt
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from drivers.models import (
    AUTO_OFFLINE_MIN,
    Approval,
    Availability,
    AvailabilityChange,
    Break,
    Cause,
    Driver,
    DriverMetrics,
)
from stepper.models import User
from tests.factories import (
    AIRPORT,
    ALMATY,
    ASTANA,
    MEDEU,
    DriverFactory,
    OfferFactory,
    PassengerFactory,
    StaffFactory,
    TripFactory,
    place,
)
from tests.pages.cast import DAY, HOUR, LONG_DROPOFF, LONG_NAME, LONG_PICKUP, MINUTE, USUAL_DROPOFF, WAY, WAY_ON, Person
from tests.papers import in_days
from trips import handover, messages, steering
from trips.models import Offer, Rating, Trip
from trips.states import ASSIGNED, DRIVING, OfferStatus, Role, TripStatus, TripType, Urgency


def driver(state: str) -> Person:
    """A driver in one of the states that their dashboard shows."""
    return DRIVERS[state]()


def _idle() -> Person:
    return _as_person(_online(max_distance_km=12.5, min_earnings=1500, accepts_long_distance=False))


def _lost() -> Person:
    """Online, but the device gives no position."""
    return Person(_online().user, at=None)


def _online(**fields: Any) -> Driver:
    found: Driver = DriverFactory.create(at=ALMATY, user__name="Yerlan Abdikarimov", **fields)
    Driver.objects.filter(pk=found.pk).update(rating_sum=1530, rating_count=312)
    return found


def _as_person(found: Driver, **ids: int | str) -> Person:
    return Person(found.user, ids)


def _of_approval(approval: Approval) -> Callable[[], Person]:
    return lambda: _as_person(DriverFactory.create(approval=approval))


def _without_vehicle() -> Person:
    return _as_person(DriverFactory.create(vehicle=None))


def _licence_expired() -> Person:
    return _as_person(DriverFactory.create(licence_expires_on=in_days(-3)))


def _on_break() -> Person:
    found: Driver = DriverFactory.create()
    now = timezone.now()
    Break.objects.create(driver=found, starts_at=now, ends_at=now + HOUR, started_at=now, resumes=True)
    Break.objects.create(driver=found, starts_at=now + 20 * HOUR, ends_at=now + 21 * HOUR)
    Driver.objects.filter(pk=found.pk).update(
        on_break_until=now + HOUR,
        weekly_hours={day: {"from": "08:00", "to": "18:00"} for day in ("mon", "tue", "wed", "thu", "fri")},
    )
    return _as_person(found)


def _warned() -> Person:
    """Nothing has happened for a while: they are put offline soon."""
    return _as_person(_online(auto_offline_at=timezone.now() + HOUR, auto_offline_min=AUTO_OFFLINE_MIN))


def _with_offer() -> Person:
    found = _online()
    places = {"pickup": AIRPORT, "pickup_name": "Almaty airport", "pickup_address": "Arrivals, Mailin 2"}
    _offer(found, 2.4, Urgency.URGENT, seats=2, bags=2, **places, **USUAL_DROPOFF)
    _completed(found, 4, 0)
    _completed(found, 9, 1)
    return _as_person(found)


def _with_offers() -> Person:
    found = _online()
    _offer(found, 2.4, Urgency.URGENT, dropoff=MEDEU, seats=2, bags=2, **LONG_PICKUP)
    _offer(found, 7.9, Urgency.HIGH, dropoff=ASTANA, dropoff_name="Astana", trip_type=TripType.SHARED)
    _offer(found, 12, Urgency.NORMAL, in_=3 * HOUR, bags=1, **LONG_DROPOFF)
    _offer(found, 0.3, Urgency.LOW, in_=2 * DAY, pickup=AIRPORT, dropoff=MEDEU, seats=4, **LONG_PICKUP, **LONG_DROPOFF)
    _offer(found, 25, Urgency.LOW, in_=3 * DAY)
    return _as_person(found)


def _with_stops() -> Person:
    found = _online()
    _offer(found, 2.4, Urgency.URGENT, seats=2, **WAY, **LONG_PICKUP, **LONG_DROPOFF)
    return _as_person(found)


def _among_stops() -> Person:
    found = _online()
    TripFactory.create(status=TripStatus.IN_TRANSIT, driver=found, seats=2, **WAY_ON, **LONG_PICKUP, **LONG_DROPOFF)
    return _as_person(found)


def _offer(driver: Driver, km: float, urgency: Urgency, **fields: Any) -> Offer:
    fields = {"pickup_address": "Dostyk Avenue 56", "dropoff_address": "Mailin 2, Almaty"} | fields
    trip = TripFactory.create(**fields)
    offer: Offer = OfferFactory.create(driver=driver, trip=trip, distance_km=km, urgency=urgency)
    return offer


def renew_offers(person: Person) -> None:
    """Open the driver's offers anew, each with a deadline of its own."""
    now = timezone.now()
    # Given back: somebody who accepts one on the page is free again.
    for offer in Offer.objects.filter(driver__user=person.user).select_related("trip"):
        Trip.objects.filter(pk=offer.trip_id).update(
            status=TripStatus.OFFERED, driver=None, vehicle=None, accepted_at=None, version=offer.trip.version + 1
        )
    mine = Offer.objects.filter(driver__user=person.user).order_by("pk")
    for number, offer in enumerate(mine):
        mine.filter(pk=offer.pk).update(
            status=OfferStatus.PENDING,
            responded_at=None,
            reason="",
            created_at=now - 40 * dt.timedelta(seconds=1),
            expires_at=now + dt.timedelta(seconds=74 + 60 * number),
        )


def _at(status: TripStatus) -> Callable[[], Person]:
    """A driver whose trip is at this status, with another one later and one to rate."""

    def make() -> Person:
        found = _online()
        passenger = PassengerFactory.create(name=LONG_NAME)
        TripFactory.create(status=TripStatus.COMPLETED, driver=found, organiser=passenger)
        trip = TripFactory.create(
            status=status,
            driver=found,
            organiser=passenger,
            seats=2,
            bags=3,
            dropoff=MEDEU,
            **LONG_PICKUP,
            dropoff_name="Medeu skating rink",
            dropoff_address="Gornaya 465",
            note="Gate 3. Two suitcases, a child seat and a dog; please wait beside the flower shop.",
            delay_minutes=15 if status == TripStatus.EN_ROUTE else 0,
            arrival_flagged=status == TripStatus.DRIVER_ARRIVED,
        )
        TripFactory.create(
            status=TripStatus.ACCEPTED,
            driver=found,
            in_=5 * HOUR,
            traveller_name="Nurgul Abdrakhmanova",
            traveller_phone="+77015550101",
        )
        found.refresh_from_db()
        if status in DRIVING:
            assert found.availability == Availability.BUSY
        return _as_person(found, trip=trip.pk)

    return make


def _guided() -> Person:
    """A driver on the way to a usual trip."""
    found = _online()
    passenger = PassengerFactory.create(name="Aliya Serikova")
    User.objects.filter(pk=passenger.pk).update(rating_sum=49, rating_count=10)
    places = {"pickup": AIRPORT, "pickup_name": "Almaty airport", "pickup_address": "Arrivals, Mailin 2"}
    trip = TripFactory.create(
        status=TripStatus.EN_ROUTE, driver=found, organiser=passenger, seats=2, bags=2, **places, **USUAL_DROPOFF
    )
    write_messages(trip)
    at = (AIRPORT[0] - 0.02, AIRPORT[1] - 0.015)
    place(found, *at)
    return Person(found.user, {"trip": trip.pk}, at=at)


def write_messages(trip: Trip) -> None:
    """Write a few messages to a trip, the last ones of the passenger and the driver unread."""
    assert trip.driver is not None
    passenger, driver = trip.organiser, trip.driver.user
    messages.send(trip.pk, passenger, text="We stand at the flower shop on the left, under the large green awning.")
    messages.send(trip.pk, driver, quick="on_the_way")
    messages.send(
        trip.pk, passenger, text="https://example.kz/a-very-long-address-without-any-place-to-break-it/1234567"
    )
    messages.mark_read(trip.pk, driver, 2**60)
    messages.send(trip.pk, driver, text="I see you.")
    messages.send(trip.pk, passenger, quick="coming")


def _waiting() -> Person:
    """At the pickup, where the passenger does not come."""
    found = _online()
    TripFactory.create(status=TripStatus.DRIVER_ARRIVED, driver=found, **LONG_PICKUP)
    return _as_person(found)


def _coded() -> Person:
    """At the pickup of a passenger who has a boarding code."""
    found = _online()
    TripFactory.create(status=TripStatus.DRIVER_ARRIVED, driver=found, boarding_code="4821", **LONG_PICKUP)
    return _as_person(found)


def hand_over(trip: Trip, to: Driver) -> None:
    """Hand a trip over as staff do, where its driver's vehicle broke down."""
    handover.hand_over(trip.pk, to.pk, StaffFactory.create(), reason="Engine", place="Petrol station at km 12")


def complete(trip: Trip) -> None:
    Trip.objects.filter(pk=trip.pk).update(status=TripStatus.ARRIVED)
    steering.complete(trip.pk, StaffFactory.create(), "No phone")


def _former() -> Person:
    """A driver who handed a trip over that has ended by now."""
    found = _online()
    trip = TripFactory.create(status=TripStatus.IN_TRANSIT, driver=found)
    place(found, ALMATY[0] + 0.04, ALMATY[1] + 0.06)
    hand_over(trip, DriverFactory.create(at=AIRPORT))
    complete(trip)
    return _as_person(found)


def _taking_over() -> Person:
    """A driver to whom a trip was just handed over."""
    found = _online()
    trip = TripFactory.create(status=TripStatus.IN_TRANSIT, **LONG_DROPOFF)
    place(trip.driver, ALMATY[0] + 0.04, ALMATY[1] + 0.06)
    hand_over(trip, found)
    return _as_person(found)


def _earner() -> Person:
    """A driver with trips on most days of two months."""
    found = _online(rating_sum=1530, rating_count=312)
    for days in range(45):
        _completed(found, (days * 7) % 5, days)
    _completed(found, 3, 0)
    found.refresh_from_db()
    rows = []
    for days in range(30):
        began = timezone.now() - days * DAY - 2 * HOUR
        for at, previous, availability in (
            (began, Availability.OFFLINE, Availability.AVAILABLE),
            (began + HOUR, Availability.AVAILABLE, Availability.BUSY),
            (began + 1.5 * HOUR, Availability.BUSY, Availability.AVAILABLE),
        ):
            change = AvailabilityChange(
                driver=found,
                previous=previous,
                availability=availability,
                is_online=True,
                cause=Cause.DRIVER,
                created_at=at,
            )
            rows.append(change)
        if days:
            rows.append(
                AvailabilityChange(
                    driver=found,
                    previous=Availability.AVAILABLE,
                    availability=Availability.OFFLINE,
                    is_online=False,
                    cause=Cause.AUTO_OFFLINE,
                    created_at=began + 9 * HOUR,
                )
            )
    AvailabilityChange.objects.bulk_create(sorted(rows, key=lambda row: row.created_at))
    DriverMetrics.objects.create(driver=found, acceptance=0.93, cancellations=1, last_trip_at=timezone.now() - HOUR)
    return _as_person(found, month=f"{timezone.localdate():%Y-%m}")


def _completed(driver: Driver, count: int, days_ago: int) -> None:
    """Completed trips of one day, the third of them rated by both."""
    for number in range(count):
        ended_at = timezone.now() - days_ago * DAY - number * 20 * MINUTE
        trip = TripFactory.create(
            status=TripStatus.COMPLETED,
            driver=driver,
            in_=-days_ago * DAY - number * 20 * MINUTE - HOUR,
            completed_at=ended_at,
            **(USUAL_DROPOFF if number % 2 else {}),
        )
        if number == 2:
            for role, by, about in (
                (Role.DRIVER, driver.user, trip.organiser),
                (Role.ORGANISER, trip.organiser, driver.user),
            ):
                Rating.objects.create(trip=trip, role=role, by=by, about=about, stars=5)


def _newly_approved() -> Person:
    return _as_person(DriverFactory.create())


DRIVERS: dict[str, Callable[[], Person]] = {
    "new": _newly_approved,
    "idle": _idle,
    "lost": _lost,
    "no-vehicle": _without_vehicle,
    "licence-expired": _licence_expired,
    "on-break": _on_break,
    "warned": _warned,
    "offer": _with_offer,
    "offers": _with_offers,
    "stops": _with_stops,
    "among-stops": _among_stops,
    "guided": _guided,
    "waiting": _waiting,
    "coded": _coded,
    "earner": _earner,
    "former": _former,
    "taking-over": _taking_over,
    **{approval.value: _of_approval(approval) for approval in Approval if approval != Approval.APPROVED},
    **{status.value: _at(status) for status in sorted(ASSIGNED)},
}
