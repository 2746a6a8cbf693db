"""Who has no right to a trip gets nothing of it: each role × each address of the address map × each state of the trip.

The addresses come from the address map, so a new one is walked by itself; one with a parameter that is not in `FILLED`
fails. Sockets: tests/realtime/test_outsiders.py.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from drivers.models import Break, DriverDocument
from realtime.models import Notification
from realtime.sockets import commands
from stepper.errors import NotFound
from stepper.models import AccountSession, User
from tests.factories import ALMATY
from tests.outsiders import JPEG, NOBODY, OUTSIDERS, find_mark, outsider, rows_of, somebodys_trip
from trips.models import SavedPlace, Trip
from trips.states import TripStatus

# The rules are the same on both databases.
pytestmark = [pytest.mark.django_db, pytest.mark.embedded_only]

# What stands for each parameter of an address: rows of the trip and of those on it, else something that opens nothing.
FILLED: dict[str, Callable[[Trip], Any]] = {
    "trip_id": lambda trip: trip.pk,
    "offer_id": lambda trip: trip.offers.order_by("pk")[0].pk,
    "share_id": lambda trip: trip.shares.order_by("pk")[0].pk,
    "driver_id": lambda trip: trip.driver_id or 1,
    "row_id": lambda trip: trip.pk,
    "subject": lambda _trip: "trip",
    "photo_id": lambda trip: DriverDocument.objects.filter(kind="photo").order_by("pk")[0].pk,
    "token": lambda trip: trip.dead_token,  # type: ignore[attr-defined]
    "message_id": lambda trip: trip.messages.order_by("pk").values_list("pk", flat=True).first() or 1,
    "notification_id": lambda trip: Notification.objects.get(user=trip.organiser).pk,
    "place_id": lambda trip: SavedPlace.objects.get(user=trip.organiser).pk,
    "passkey_id": lambda _trip: 1,
    "session_id": lambda trip: AccountSession.objects.get(user=trip.organiser).pk,
    "break_id": lambda _trip: Break.objects.order_by("pk")[0].pk,
    "document_id": lambda _trip: DriverDocument.objects.order_by("pk")[0].pk,
    "file_format": lambda _trip: "csv",
    "kind": lambda _trip: "photo",
    "name": lambda _trip: "person",
    "step": lambda _trip: "person",
    "uidb36": lambda _trip: "1",
    "key": lambda _trip: "set-password",
}
# Who drove a part of a trip rates its passenger once it is completed; their dashboard asks for it.
MAY_RATE = ("driver of a former leg", TripStatus.COMPLETED)
# What an address about a trip answers to somebody without a right to it. Who is not signed in is led to sign in.
REFUSED = {401, 403, 404, 405, 410}
# Pages of a driver lead back to the dashboard; a driver who has no such offer, or not that trip, is told so; declining
# again changes nothing.
LEAD_BACK = r"driver/(offers|trips)/"
TOLD = {r"api/drivers/trips/accept/|api/trips/<row:trip_id>/rate": {409}, r"api/drivers/trips/decline/": {409, 200}}
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


def _routes(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[tuple[str, Any]]:
    for one in patterns:
        route = before + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _routes(one.url_patterns, route)
        else:
            yield route, one.callback


# Without the administration's, which staff alone open.
VIEWS = {route: view for route, view in _routes(get_resolver().url_patterns) if not route.startswith("admin/")}
ABOUT_A_TRIP = [route for route in VIEWS if re.search(r"trip_id|offer_id|share_id|^t/", route)]
RATES = [route for route in ABOUT_A_TRIP if "/rate" in route]
OTHERS = [
    # Signing out would end the walk, deleting the account as well. Probes say that no dispatcher runs.
    route
    for route in VIEWS
    if route not in ABOUT_A_TRIP and not re.search(r"logout|end-all|token/revoke|erase|settings/delete|^health/", route)
]
# A trip is also named in the query.
QUERIES = ["book/?again=<row:trip_id>", "book/?return=<row:trip_id>"]


def _address(route: str, trip: Trip) -> str:
    def fill(found: "re.Match[str]") -> str:
        return str(FILLED[found[1]](trip))

    plain = route.replace("^", "").replace("$", "")
    plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", fill, plain)
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", fill, plain)


class Visitor(Client):
    """A browser of somebody, or of nobody (None)."""

    def __init__(self, user: User | None) -> None:
        super().__init__(raise_request_exception=False)
        self.is_signed_in = user is not None
        if user is not None:
            self.force_login(user)


VERBS = ("get", "post", "put", "patch", "delete")


def _verbs(route: str, *, with_unknown: bool) -> list[str]:
    """Return what a route is asked with; `with_unknown`: also what its class has no method for."""
    if not route.startswith("api/"):
        return ["get", "post"]
    kind = getattr(VIEWS[route], "view_class", None)
    return [verb for verb in VERBS if with_unknown or kind is None or hasattr(kind, verb)]


def _walk(
    client: Visitor, routes: list[str], trip: Trip, *, with_unknown: bool = False, only_get: bool = False
) -> None:
    for route in routes:
        cache.clear()
        address = _address(route, trip)
        is_api = route.startswith("api/")
        for verb in ["get"] if only_get else _verbs(route, with_unknown=with_unknown):
            sent: dict[str, Any] = {} if verb == "get" else {"data": SENT}
            if is_api and verb != "get":
                sent["content_type"] = "application/json"
            answer = getattr(client, verb)(address, **sent)
            where = f"{verb} {route}: {answer.status_code}"
            assert answer.status_code < 500, where
            # Or nothing would be looked at from here on.
            assert answer.status_code != 429, where
            assert not client.is_signed_in or "_auth_user_id" in client.session, where
            said = b"".join(answer.streaming_content) if answer.streaming else answer.content
            assert not find_mark(said.decode(errors="replace") + str(answer.headers)), where
            assert said[:3] != JPEG, where
            if route in ABOUT_A_TRIP:
                assert answer.status_code in _refusals(client, route), where


def _refusals(client: Visitor, route: str) -> set[int]:
    if not client.is_signed_in or re.match(LEAD_BACK, route):
        return REFUSED | {302}
    return REFUSED.union(*(codes for told, codes in TOLD.items() if re.match(told, route)))


@pytest.mark.parametrize("status", TripStatus)
@pytest.mark.parametrize("role", [NOBODY, *OUTSIDERS])
def test_who_has_no_right_to_a_trip_gets_and_changes_nothing(role: str, status: TripStatus) -> None:
    trip = somebodys_trip(status)
    client = Visitor(None if role == NOBODY else outsider(role, trip))
    before = rows_of(trip)

    # A verb that no class hears of is refused without a look at the trip.
    is_driven = status == TripStatus.EN_ROUTE
    may_rate = (role, status) == MAY_RATE
    about = [route for route in ABOUT_A_TRIP if not may_rate or route not in RATES]
    _walk(client, about, trip, with_unknown=is_driven)
    _walk(client, QUERIES, trip, only_get=True)
    # Lists and pages of one's own say nothing of it either, whether drivers are asked, it is driven, or over.
    if status in {TripStatus.OFFERED, TripStatus.EN_ROUTE, TripStatus.COMPLETED} and not may_rate:
        _walk(client, OTHERS, trip, with_unknown=is_driven, only_get=not is_driven)

    assert rows_of(trip) == before


@pytest.mark.parametrize("status", TripStatus)
def test_who_has_no_right_to_a_trip_watches_nothing_over_a_socket(status: TripStatus) -> None:
    trip = somebodys_trip(status)
    for role in OUTSIDERS:
        user = outsider(role, trip)
        assert trip.pk not in commands.read_rights(user, frozenset({trip.pk})).trip_ids
        assert commands.trip_snapshots(user, [trip.pk]) == []
        assert commands.last_location(user, trip.pk) is None
        for refused in (lambda u=user: commands.watch(u, trip.pk), lambda u=user: commands.require_trips(u, [trip.pk])):
            with pytest.raises(NotFound):
                refused()


def test_walk_would_find_what_is_shown_and_changed() -> None:
    """The passenger of the trip is not refused: the walk sees the mark, what is answered at all, and the change."""
    trip = somebodys_trip(TripStatus.OFFERED)
    client = Visitor(trip.organiser)
    with pytest.raises(AssertionError, match="get trips/<row:trip_id>/: 200"):
        _walk(client, ["trips/<row:trip_id>/"], trip)
    with pytest.raises(AssertionError, match="get api/trips/<row:trip_id>/shares: 200"):
        _walk(client, ["api/trips/<row:trip_id>/shares"], trip)
    before = rows_of(trip)
    client.post(f"/trips/{trip.pk}/cancel/")
    assert rows_of(trip) != before


@pytest.mark.parametrize(
    "text",
    [
        *(
            "₸76\u202f543",
            "76,543",
            '"fare": 76543',
            "76&nbsp;543",
            "76&#160;543",
            json.dumps("₸76\u202f543"),
            json.dumps(json.dumps("₸76\u202f543")),
        ),
        *("777&nbsp;ZYR&nbsp;02", '"lat": 43.219811'),
    ],
)
def test_marks_are_found_as_pages_and_answers_write_them(text: str) -> None:
    assert find_mark(text)


@pytest.mark.parametrize(
    "text",
    [
        '"server_time":"2026-11-29T19:57:24.760543Z"',
        '"cursor":"43.2198543"',
        "'X-Request-ID': 'd48876bd1a543f2d'",
        "nonce-kx76543q",
    ],
)
def test_digits_of_an_instant_a_cursor_or_a_random_text_are_no_marks(text: str) -> None:
    assert not find_mark(text)
