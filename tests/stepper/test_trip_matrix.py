"""Who has no right to a trip gets nothing of it: each role × each address of the address map × each state of the trip.

The addresses come from the address map, so a new one is walked by itself; one with a parameter that is not in `FILLED`
fails. What a socket may join is decided by the same functions as here at the end.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.forms.models import model_to_dict
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from drivers.models import DriverDocument
from realtime.sockets import commands
from stepper.errors import NotFound
from stepper.models import User
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, TripFactory, former_leg, place
from tests.papers import document
from trips.models import Booking, Offer, Rating, SafetyAlert, Trip, TripMessage, TripShare
from trips.states import ASSIGNED, TripStatus

# The rules are the same on both databases.
pytestmark = [pytest.mark.django_db, pytest.mark.embedded_only]

# Everything of the trip that a page, a frame or an answer could say; no other text of the tests has it.
MARK, PHONE = "zyrtau", "7015559"
# How a picture begins.
JPEG = b"\xff\xd8\xff"
# What stands for each parameter of an address: the trip's own rows, else something that opens nothing.
FILLED: dict[str, Callable[[Trip], Any]] = {
    "trip_id": lambda trip: trip.pk,
    "offer_id": lambda trip: trip.offers.order_by("pk")[0].pk,
    "share_id": lambda trip: trip.shares.order_by("pk")[0].pk,
    "driver_id": lambda trip: trip.driver_id or 1,
    "row_id": lambda trip: trip.pk,
    "subject": lambda _trip: "trip",
    "photo_id": lambda trip: DriverDocument.objects.filter(kind="photo").order_by("pk")[0].pk,
    "token": lambda _trip: "no-such-link",
    "message_id": lambda trip: trip.messages.order_by("pk").values_list("pk", flat=True).first() or 1,
    "notification_id": lambda _trip: 1,
    "place_id": lambda _trip: 1,
    "passkey_id": lambda _trip: 1,
    "session_id": lambda _trip: 1,
    "break_id": lambda _trip: 1,
    "document_id": lambda _trip: 1,
    "file_format": lambda _trip: "csv",
    "kind": lambda _trip: "photo",
    "name": lambda _trip: "person",
    "step": lambda _trip: "person",
    "uidb36": lambda _trip: "1",
    "key": lambda _trip: "set-password",
}
# Of others than those with a trip's id the answer does not depend on its state.
STATES = [
    TripStatus.OFFERED,
    TripStatus.UNFILLED,
    TripStatus.ACCEPTED,
    TripStatus.EN_ROUTE,
    TripStatus.DRIVER_ARRIVED,
    TripStatus.IN_TRANSIT,
    TripStatus.COMPLETED,
    TripStatus.CANCELLED,
]
ROLES = ["nobody", "passenger", "driver", "former driver", "driver of a former leg"]
# Who drove a part of a trip rates its passenger once it is completed, but sees no more of it.
WITHOUT_A_RIGHT = [
    (role, status)
    for role in ROLES
    for status in STATES
    if (role, status) != ("driver of a former leg", TripStatus.COMPLETED)
]
# Everything that some verb reads; each request sends all of it.
SENT: dict[str, Any] = {
    "status": "driver_arrived",
    "stars": 5,
    "tags": ["friendly"],
    "tip": 100,
    "code": "8351",
    "reason": "none",
    "reason_code": "other",
    "note": "none",
    "pickup_address": "none",
    "seats": 2,
    "radius_km": 200,
    "departure_at": "2030-01-01T00:00:00Z",
    "lat": ALMATY[0],
    "lng": ALMATY[1],
    "text": "Where are you?",
    "up_to": 2**60,
}


def _routes(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    for one in patterns:
        route = before + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _routes(one.url_patterns, route)
        else:
            yield route


def _routes_of_people() -> list[str]:
    """Return the addresses that are not the administration's, which staff alone open."""
    return [route for route in _routes(get_resolver().url_patterns) if not route.startswith("admin/")]


ABOUT_A_TRIP = [route for route in _routes_of_people() if re.search(r"trip_id|offer_id|share_id", route)]
OTHERS = [
    # Signing out would end the walk, deleting the account as well. Probes say that no dispatcher runs.
    route
    for route in _routes_of_people()
    if route not in ABOUT_A_TRIP and not re.search(r"logout|end-all|token/revoke|erase|settings/delete|^health/", route)
]


def _address(route: str, trip: Trip) -> str:
    def fill(found: "re.Match[str]") -> str:
        return str(FILLED[found[1]](trip))

    plain = route.replace("^", "").replace("$", "")
    plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", fill, plain)
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", fill, plain)


def _somebodys_trip(status: TripStatus) -> Trip:
    passenger = PassengerFactory.create(name="Zyrtau Passenger", phone="+77015559001")
    driver = DriverFactory.create(at=ALMATY, user__name="Zyrtau Driver", user__phone="+77015559002")
    has_driver = status in ASSIGNED or status == TripStatus.COMPLETED
    trip: Trip = TripFactory.create(
        organiser=passenger,
        driver=driver if has_driver else None,
        status=status,
        pickup_name="Zyrtau north",
        dropoff_name="Zyrtau south",
        note="zyrtau gate",
        boarding_code="8351" if has_driver else "",
    )
    place(driver, *ALMATY)
    if has_driver:
        for sender, role in ((passenger, "organiser"), (driver.user, "driver")):
            TripMessage.objects.create(
                trip=trip, driver=driver, sender=sender, role=role, key=role, text=f"zyrtau {PHONE} by {role}"
            )
        SafetyAlert.objects.create(trip=trip, raised_by=passenger)
    document(driver.user, "photo", status="accepted", accepted_at=timezone.now(), expires_on=None)
    OfferFactory.create(trip=trip, driver=driver, status="accepted" if has_driver else "pending")
    TripShare.objects.create(trip=trip, created_by=passenger, token_digest="d" * 64)
    return trip


def _client_of(role: str, trip: Trip) -> Client:
    client = Client(raise_request_exception=False)
    if role == "passenger":
        client.force_login(PassengerFactory.create())
    elif role == "driver":
        client.force_login(DriverFactory.create(at=ALMATY).user)
    elif role == "former driver":
        former = DriverFactory.create(at=ALMATY)
        OfferFactory.create(trip=trip, driver=former, status="accepted", released_at=timezone.now())
        TripMessage.objects.create(
            trip=trip, driver=former, sender=former.user, role="driver", key="former", text="What I wrote myself"
        )
        client.force_login(former.user)
    elif role == "driver of a former leg":
        client.force_login(former_leg(trip, DriverFactory.create(at=ALMATY)).driver.user)
    return client


def _rows(trip: Trip) -> list[Any]:
    """Return everything that is stored of a trip."""
    return [
        model_to_dict(Trip.objects.get(pk=trip.pk)),
        list(Booking.objects.filter(trip=trip).values()),
        list(Offer.objects.filter(trip=trip).order_by("pk").values()),
        list(Rating.objects.filter(trip=trip).values()),
        list(TripShare.objects.filter(trip=trip).values()),
        list(trip.transitions.values()),
        list(trip.legs.values()),
        list(trip.messages.order_by("pk").values()),
        list(trip.safety_alerts.values()),
    ]


def _walk(client: Client, routes: list[str], trip: Trip) -> None:
    for route in routes:
        address = _address(route, trip)
        is_api = route.startswith("api/")
        for verb in ("get", "post", "put", "patch", "delete") if is_api else ("get", "post"):
            sent: dict[str, Any] = {} if verb == "get" else {"data": SENT}
            if is_api and verb != "get":
                sent["content_type"] = "application/json"
            answer = getattr(client, verb)(address, **sent)
            where = f"{verb} {route}: {answer.status_code}"
            assert answer.status_code < 500, where
            said = b"".join(answer.streaming_content) if answer.streaming else answer.content
            text = said.decode(errors="replace").lower() + str(answer.headers).lower()
            assert MARK not in text, where
            assert PHONE not in text, where
            assert said[:3] != JPEG, where


@pytest.mark.parametrize(("role", "status"), WITHOUT_A_RIGHT)
def test_who_has_no_right_to_a_trip_gets_and_changes_nothing(role: str, status: TripStatus) -> None:
    trip = _somebodys_trip(status)
    client = _client_of(role, trip)
    before = _rows(trip)

    cache.clear()
    _walk(client, ABOUT_A_TRIP, trip)
    if status == TripStatus.EN_ROUTE:
        cache.clear()
        _walk(client, OTHERS, trip)

    assert _rows(trip) == before


@pytest.mark.parametrize("status", STATES)
def test_who_has_no_right_to_a_trip_watches_nothing_over_a_socket(status: TripStatus) -> None:
    trip = _somebodys_trip(status)
    for role in ROLES[1:]:
        user = User.objects.get(pk=_client_of(role, trip).session["_auth_user_id"])
        assert trip.pk not in commands.read_rights(user, frozenset({trip.pk})).trip_ids
        assert commands.trip_snapshots(user, [trip.pk]) == []
        assert commands.last_location(user, trip.pk) is None
        for refused in (lambda u=user: commands.watch(u, trip.pk), lambda u=user: commands.require_trips(u, [trip.pk])):
            with pytest.raises(NotFound):
                refused()


def test_walk_would_find_what_is_shown_and_changed() -> None:
    """The passenger of the trip is not refused: the walk sees the mark, and the change."""
    trip = _somebodys_trip(TripStatus.OFFERED)
    client = Client()
    client.force_login(trip.organiser)
    with pytest.raises(AssertionError, match="get trips/<row:trip_id>/: 200"):
        _walk(client, ["trips/<row:trip_id>/"], trip)
    before = _rows(trip)
    client.post(f"/trips/{trip.pk}/cancel/")
    assert _rows(trip) != before
