"""A trip, and those who have no right to it: who they are, and what of the trip must not reach them.

For the tests that walk all addresses, and all sockets, as each of them.
"""

import datetime as dt
import re
from typing import Any

from django.contrib.sessions.models import Session
from django.forms.models import model_to_dict
from django.utils import timezone

from drivers.models import Break
from realtime.models import Notification
from stepper.models import AccountSession, User
from tests.factories import (
    ALMATY,
    ASTANA,
    DriverFactory,
    OfferFactory,
    PassengerFactory,
    TripFactory,
    VehicleFactory,
    former_leg,
    place,
)
from tests.papers import document
from trips import shares
from trips.models import Booking, Offer, Rating, SafetyAlert, SavedPlace, Trip, TripLeg, TripMessage, TripShare
from trips.states import ASSIGNED, FINISHED, TripStatus

PHONE = "7015559"
# What only this trip has, as pages, frames and answers write it: names and words, a phone, the plate, where its driver
# is, the pickup, the fare. Their digits may have spaces, or what stands for one, between them. The fare's are within
# many a random text, such as the number of a request, so it is a number of its own.
_GAP = r"(?:[^0-9a-z]{0,3}|&[#0-9a-z]{1,5};)"
_MARKS = re.compile(rf"zyrtau|7015559|777.{{0,7}}zyr|43\.2198|43\.2176|(?<![0-9a-z])76{_GAP}543(?![0-9a-z])")
# Whose digits are any: instants and cursors.
_BY_CHANCE = re.compile(r"\d{4}-\d\d-\d\dt\d\d:\d\d:\d\d\.\d+|\"cursor\":\"[\d.]+\"")
# Letters as JSON may write them, also JSON within JSON.
_ESCAPED = re.compile(r"\\+(?:u[0-9a-f]{4}|n)")
PICKUP, DRIVER_AT, PLATE, FARE = (43.217653, 76.871234), (43.219811, 76.873322), "777 ZYR 02", 76_543
# How a picture begins.
JPEG = b"\xff\xd8\xff"

NOBODY = "nobody"
OUTSIDERS = [
    "passenger",
    "passenger whose seat was cancelled",
    "driver",
    "driver who declined",
    "former driver",
    "driver of a former leg",
]


def find_mark(text: str) -> str:
    """Return the first part of a text that tells something of the trip; "": there is none."""
    found = _MARKS.search(_ESCAPED.sub(" ", _BY_CHANCE.sub("", text.lower())))
    return found[0] if found else ""


def somebodys_trip(status: TripStatus) -> Trip:
    """Make a trip of others in a status, with everything that can hang on one.

    `dead_token`: of a link to it that works no more: it was revoked, or the trip is over.
    """
    passenger = PassengerFactory.create(name="Zyrtau Passenger", phone="+77015559001")
    vehicle = VehicleFactory.create(plate=PLATE)
    driver = DriverFactory.create(at=ALMATY, user__name="Zyrtau Driver", user__phone="+77015559002", vehicle=vehicle)
    has_driver = status in ASSIGNED or status == TripStatus.COMPLETED
    trip: Trip = TripFactory.create(
        organiser=passenger,
        driver=driver if has_driver else None,
        status=status,
        pickup=PICKUP,
        pickup_name="Zyrtau north",
        dropoff_name="Zyrtau south",
        note="zyrtau gate",
        fare=FARE,
        boarding_code="8351" if has_driver else "",
    )
    place(driver, *DRIVER_AT)
    if has_driver:
        for sender, role in ((passenger, "organiser"), (driver.user, "driver")):
            TripMessage.objects.create(
                trip=trip, driver=driver, sender=sender, role=role, key=role, text=f"zyrtau {PHONE} by {role}"
            )
        SafetyAlert.objects.create(trip=trip, raised_by=passenger)
    document(driver.user, "photo", status="accepted", accepted_at=timezone.now(), expires_on=None)
    OfferFactory.create(trip=trip, driver=driver, status="accepted" if has_driver else "pending")
    _add_links(trip)
    Notification.objects.create(user=passenger, title="Zyrtau is near", action_url=f"/trips/{trip.pk}/")
    SavedPlace.objects.create(user=passenger, kind="home", place_name="Zyrtau home", lat=PICKUP[0], lng=PICKUP[1])
    ended_at = timezone.now()
    Break.objects.create(driver=driver, starts_at=ended_at - dt.timedelta(minutes=1), ends_at=ended_at)
    session = Session.objects.create(session_key="z" * 32, expire_date=timezone.now() + dt.timedelta(days=1))
    AccountSession.objects.create(
        session=session,
        user=passenger,
        auth_hash=passenger.get_session_auth_hash(),
        user_agent="Zyrtau phone",
        last_seen_at=timezone.now(),
    )
    return trip


def _add_links(trip: Trip) -> None:
    made = shares._add(trip, trip.organiser)
    trip.dead_token = made.token  # type: ignore[attr-defined]
    if trip.status not in FINISHED:
        made.share.delete()
        shares._add(trip, trip.organiser)
    # Of one that is over, the row may still be there: a server of the release before leaves it.


def outsider(role: str, trip: Trip) -> User:
    """Make somebody without a right to the trip, with what their role leaves behind at it. See OUTSIDERS."""
    user: User
    if role == "passenger":
        user = PassengerFactory.create()
    elif role == "passenger whose seat was cancelled":
        user = PassengerFactory.create()
        Booking.objects.create(trip=trip, passenger=user, status="cancelled", seats=1, amount=1)
    elif role == "driver":
        user = DriverFactory.create(at=ASTANA).user
    elif role == "driver who declined":
        declined = DriverFactory.create(at=ASTANA)
        OfferFactory.create(trip=trip, driver=declined, status="declined", responded_at=timezone.now())
        user = declined.user
    elif role == "former driver":
        former = DriverFactory.create(at=ASTANA)
        OfferFactory.create(trip=trip, driver=former, status="accepted", released_at=timezone.now())
        TripMessage.objects.create(
            trip=trip, driver=former, sender=former.user, role="driver", key="former", text="What I wrote myself"
        )
        user = former.user
    else:
        leg = former_leg(trip, DriverFactory.create(at=ASTANA))
        # It began and ended elsewhere: that much is theirs.
        TripLeg.objects.filter(pk=leg.pk).update(from_lat=43.3, from_lng=76.9, to_lat=43.31, to_lng=76.91)
        user = leg.driver.user
    return user


def rows_of(trip: Trip) -> list[Any]:
    """Return everything that is stored of a trip."""
    return [
        # When its driver's way is looked at next is decided by the positions that come.
        model_to_dict(Trip.objects.get(pk=trip.pk), exclude=["watch_at"]),
        list(Booking.objects.filter(trip=trip).order_by("pk").values()),
        list(Offer.objects.filter(trip=trip).order_by("pk").values()),
        list(Rating.objects.filter(trip=trip).values()),
        list(TripShare.objects.filter(trip=trip).values()),
        list(trip.transitions.values()),
        list(trip.legs.values()),
        list(trip.messages.order_by("pk").values()),
        list(trip.safety_alerts.values()),
        list(Notification.objects.filter(user=trip.organiser).values()),
        list(SavedPlace.objects.filter(user=trip.organiser).values()),
        list(AccountSession.objects.filter(user=trip.organiser).values()),
    ]
