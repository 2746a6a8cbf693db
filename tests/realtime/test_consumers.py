"""The sockets through the real application: who may connect, what is said on connect, commands and their answers."""

import datetime as dt
import threading
from importlib import import_module
from typing import Any

import msgspec
import pytest
from allauth.account.adapter import get_adapter
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth import get_user
from django.db import DataError
from django.http import HttpRequest
from django.test import Client as DjangoClient
from django.utils import timezone
from django.utils.translation import gettext, override
from pytest_django import Settings

from drivers import approvals
from drivers.models import Driver
from realtime import events
from realtime.auth import origin_is_ours
from realtime.delivery.notifications import notify
from realtime.models import Event, Notification
from realtime.outbox import refresh_permissions
from realtime.sockets import base, commands
from stepper.api.tokens import end_session, sign_in
from stepper.asgi import application
from stepper.models import ServiceSettings, User
from stepper.server import lifespan
from tests.browsing import session_cookie
from tests.factories import (
    AIRPORT,
    ALMATY,
    MEDEU,
    DriverFactory,
    OfferFactory,
    PassengerFactory,
    StaffFactory,
    TripFactory,
    UserFactory,
    place,
)
from trips import assignment, bookings, driving
from trips.booking_requests import BookingRequest
from trips.models import Booking, Offer, Trip
from trips.states import BookingStatus, OfferStatus, TripStatus

from .conftest import Connect

run = database_sync_to_async


def request_to(dropoff: tuple[float, float] = MEDEU) -> BookingRequest:
    return BookingRequest(events.Place("Almaty", "", *ALMATY), events.Place("Medeu", "", *dropoff))


# Who may connect


async def test_stranger_is_sent_away_with_4401(connect: Connect) -> None:
    client = await connect(None, greeted=False)
    assert (await client.receive())["code"] == "auth.required"
    assert await client.closed_with() == 4401


async def test_wrong_token_is_sent_away_with_4401(server: None) -> None:
    communicator = WebsocketCommunicator(application, "/ws/", subprotocols=["stepper.v1", "bearer.nonsense"])
    await communicator.connect()
    assert msgspec.json.decode(await communicator.receive_from())["code"] == "auth.token_invalid"
    assert (await communicator.receive_output())["code"] == 4401
    await communicator.disconnect()


async def _with_cookie(user: User, origin: str | None, others: str = "") -> WebsocketCommunicator:
    cookie = await run(session_cookie)(user, "http://testserver")
    headers = [(b"cookie", f"{others}{settings.SESSION_COOKIE_NAME}={cookie['value']}".encode())]
    headers.append((b"host", b"testserver"))
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    communicator = WebsocketCommunicator(application, "/ws/", headers=headers)
    await communicator.connect()
    return communicator


@pytest.mark.parametrize("others", ["", "theme[dark]=1; ", "=; lone; "], ids=["alone", "malformed", "nameless"])
async def test_session_cookie_with_our_origin_is_let_in(server: None, others: str) -> None:
    """Beside whatever other cookies, as on pages."""
    user = await run(PassengerFactory.create)()
    communicator = await _with_cookie(user, "http://testserver", others)
    assert msgspec.json.decode(await communicator.receive_from())["user_id"] == user.pk
    await communicator.disconnect()


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", "file://testserver"])
async def test_session_cookie_from_elsewhere_is_refused_with_4403(server: None, origin: str | None) -> None:
    communicator = await _with_cookie(await run(PassengerFactory.create)(), origin)
    assert msgspec.json.decode(await communicator.receive_from())["code"] == "auth.origin_refused"
    assert (await communicator.receive_output())["code"] == 4403
    await communicator.disconnect()


ORIGINS = [
    # The scheme of the handshake, its Host, the page's origin.
    ("ws", "testserver", "http://testserver", True),
    ("ws", "testserver:8000", "http://testserver:8000", True),
    ("ws", "testserver", "http://testserver:80", True),
    ("ws", "testserver:80", "http://testserver", True),
    ("wss", "testserver", "https://testserver:443", True),
    ("wss", "TestServer", "https://testserver", True),
    ("ws", "[::1]:8000", "http://[::1]:8000", True),
    ("ws", "a.example.com", "http://a.example.com", True),
    ("ws", "testserver", "https://testserver", False),
    ("wss", "testserver", "http://testserver", False),
    ("ws", "testserver", "http://testserver:8000", False),
    ("ws", "testserver:8000", "http://testserver", False),
    ("ws", "testserver:8000", "http://testserver:8001", False),
    ("wss", "testserver", "https://testserver:8443", False),
    ("ws", "testserver", "http://testserver.evil.example", False),
    ("ws", "testserver", "http://testserver@evil.example", False),
    ("ws", "evil.example", "http://evil.example", False),
    ("ws", "badexample.com", "http://badexample.com", False),
    ("ws", "", "http://testserver", False),
    ("ws", "testserver", "", False),
    ("ws", "testserver", "null", False),
    ("ws", "testserver", "file://testserver", False),
    ("ws", "testserver", "http://[", False),
    ("ws", "testserver", "http://testserver:port", False),
    ("ws", "testserver:port", "http://testserver", False),
    # Trusted ones.
    ("ws", "inside", "https://partner.example", True),
    ("ws", "inside", "https://a.hotels.example", True),
    ("ws", "inside", "http://partner.example", False),
    ("ws", "inside", "https://partner.example:8443", False),
    ("ws", "inside", "https://badhotels.example", False),
]


@pytest.mark.embedded_only
@pytest.mark.parametrize(("scheme", "host", "origin", "is_ours"), ORIGINS)
def test_origin_is_ours_by_scheme_host_and_port_or_because_it_is_trusted(
    settings: Settings, scheme: str, host: str, origin: str, is_ours: bool
) -> None:
    settings.ALLOWED_HOSTS = ["testserver", "[::1]", ".example.com"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://partner.example", "https://*.hotels.example"]
    headers = [(b"host", host.encode()), (b"origin", origin.encode())]
    assert origin_is_ours({"type": "websocket", "scheme": scheme, "headers": headers}) is is_ours


@pytest.mark.embedded_only
def test_behind_a_proxy_only_an_https_page_is_ours(settings: Settings) -> None:
    """Also where the proxy does not say that the client used TLS."""
    settings.HTTPS = True
    for origin, is_ours in (("https://testserver", True), ("http://testserver", False)):
        headers = [(b"host", b"testserver"), (b"origin", origin.encode())]
        assert origin_is_ours({"type": "websocket", "scheme": "ws", "headers": headers}) is is_ours


@pytest.mark.embedded_only
@pytest.mark.django_db
@pytest.mark.parametrize(("scheme", "host", "origin", "is_ours"), ORIGINS[:2] + ORIGINS[8:12] + ORIGINS[-5:])
def test_forms_are_taken_from_the_same_origins(
    settings: Settings, scheme: str, host: str, origin: str, is_ours: bool
) -> None:
    settings.ALLOWED_HOSTS = ["testserver", "[::1]", ".example.com", "inside"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://partner.example", "https://*.hotels.example"]
    client = DjangoClient(enforce_csrf_checks=True, headers={"host": host, "origin": origin})
    client.cookies["csrftoken"] = token = "a" * 32
    form = {"login": "nobody@example.test", "password": "wrong", "csrfmiddlewaretoken": token}
    response = client.post("/accounts/login/", form, secure=scheme == "wss")
    assert (response.status_code != 403) is is_ours


@pytest.mark.parametrize("path", ["/ws/dashboard/driver/", "/ws/dashboard/trips/999/"])
async def test_page_of_others_is_refused_with_4403(connect: Connect, path: str) -> None:
    client = await connect(await run(PassengerFactory.create)(), path, greeted=False)
    assert await client.closed_with() == 4403


async def test_unknown_address_is_refused(server: None) -> None:
    communicator = WebsocketCommunicator(application, "/ws/nowhere/")
    connected, code = await communicator.connect()
    assert (connected, code) == (False, 4404)


# On connect


async def test_greeting_says_who_and_how_often(connect: Connect) -> None:
    driver = await run(DriverFactory.create)()
    client = await connect(driver.user, greeted=False)
    frame = await client.receive()
    cursor, server_time = frame.pop("cursor"), frame.pop("server_time")
    assert frame.pop("timestamp")
    assert cursor
    assert dt.datetime.fromisoformat(server_time) <= timezone.now()
    assert frame == {
        "type": "connection.established",
        "protocol": "stepper.v1",
        "user_id": driver.user_id,
        "driver_id": driver.pk,
        "heartbeat_s": 30,
        "position_trip_s": 10,
        "position_idle_s": 60,
    }


async def test_driver_gets_open_offers_on_connect_and_no_ended_ones(connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=ALMATY)
    offer = await run(OfferFactory.create)(driver=driver)
    await run(OfferFactory.create)(driver=driver, status=OfferStatus.EXPIRED)
    await run(OfferFactory.create)(driver=driver, expires_at=timezone.now() - dt.timedelta(seconds=1))
    client = await connect(driver.user)
    cards = [frame async for frame in _frames(client) if frame["type"] == "trip.offer.created"]
    assert [card["offer_id"] for card in cards] == [offer.pk]


async def test_passenger_gets_trip_and_last_position_on_connect(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.EN_ROUTE)
    client = await connect(trip.organiser)
    frame = await client.receive()
    assert (frame["type"], frame["trip_id"], frame["status"]) == ("trip.snapshot", trip.pk, "en_route")
    assert (frame["location"]["lat"], frame["location"]["lng"]) == ALMATY
    assert frame["driver"]["id"] == trip.driver_id


async def test_position_older_than_replay_is_not_replayed(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.EN_ROUTE)
    await run(place)(trip.driver, *ALMATY, age=dt.timedelta(seconds=301))
    client = await connect(trip.organiser)
    assert (await client.receive())["location"] is None


# The main path


async def test_booking_reaches_the_driver_and_accepting_reaches_the_passenger(connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=ALMATY)
    passenger = await run(PassengerFactory.create)()
    driving, riding = await connect(driver.user), await connect(passenger)
    trip = await run(bookings.book)(passenger, request_to())

    card = await driving.until("trip.offer.created")
    assert (card["trip_id"], card["earnings"]) == (trip.pk, trip.driver_earnings)
    await driving.send(type="trip.offer.accept", offer_id=card["offer_id"], ref="yes")
    answer = await driving.until("ack")
    assert (answer["ref"], answer["trip_id"], answer["status"]) == ("yes", trip.pk, "accepted")

    accepted = await riding.until("trip.offer.accepted")
    assert accepted["driver"]["name"] == driver.user.short_name
    assert accepted["vehicle"]["plate"] == driver.vehicle.plate_text


async def test_position_reaches_the_passenger_with_eta(connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=(43.251, 76.9))
    trip = await run(TripFactory.create)(status=TripStatus.EN_ROUTE, driver=driver)
    driving, riding = await connect(trip.driver.user), await connect(trip.organiser)
    await driving.send(type="driver.location.update", points=[{"lat": 43.25, "lng": 76.9}], ref="here")
    await driving.until("ack", ref="here")
    frame = await riding.until("driver.location.updated")
    assert (frame["trip_id"], frame["lat"], frame["lng"]) == (trip.pk, 43.25, 76.9)
    # 5.03 km to the pickup at 40 km/h, a fifth longer by road.
    assert frame["eta"]["pickup_min"] == 9


async def test_answer_to_positions_says_what_became_of_them_as_rest_does(connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=(43.25, 76.9))
    driving = await connect(driver.user)
    ahead = (timezone.now() + dt.timedelta(hours=1)).isoformat()
    points = [{"lat": 0, "lng": 0}, {"lat": 43.25, "lng": 76.9}, {"lat": -43.25, "lng": 76.9, "recorded_at": ahead}]
    await driving.send(type="driver.location.update", points=points, ref="three")

    answer = await driving.until("ack", ref="three")

    counts = {"accepted": 1, "dropped": 1, "kept_aside": 1, "clamped": 1, "late": 0}
    assert answer == {"type": "ack", "timestamp": answer["timestamp"], "ref": "three", **counts}


async def test_position_reaches_nobody_else(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.EN_ROUTE)
    stranger = await connect(await run(PassengerFactory.create)())
    driving = await connect(trip.driver.user)
    await driving.send(type="driver.location.update", points=[{"lat": 43.25, "lng": 76.9}], ref="here")
    await driving.until("ack", ref="here")
    assert await stranger.is_silent()


async def test_status_step_reaches_the_passenger_with_a_higher_version(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED)
    driving, riding = await connect(trip.driver.user), await connect(trip.organiser)
    await driving.send(type="trip.status.update", trip_id=trip.pk, status="en_route", ref="go")
    assert (await driving.until("ack"))["status"] == "en_route"
    frame = await riding.until("trip.status.updated")
    assert (frame["previous"], frame["new"], frame["version"]) == ("accepted", "en_route", trip.version + 1)


async def test_staff_hear_of_requests(connect: Connect) -> None:
    staff = await connect(await run(StaffFactory.create)())
    trip = await run(bookings.book)(await run(PassengerFactory.create)(), request_to())
    assert (await staff.until("trip.requested"))["trip_id"] == trip.pk


async def test_staff_without_the_permission_hear_of_nobody_elses_trips(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.EN_ROUTE)
    clerk = await connect(await run(StaffFactory.create)(is_superuser=False))
    await clerk.send(type="trip.subscribe", trip_ids=[trip.pk], ref="t")
    assert (await clerk.until("error"))["code"] == "trip.not_found"
    await run(bookings.book)(await run(PassengerFactory.create)(), request_to())
    await run(trip.move)(TripStatus.DRIVER_ARRIVED, "driver")
    assert await clerk.is_silent()


async def test_change_without_a_server_is_swept_up(connect: Connect) -> None:
    """As a shell or command leaves it: committed, due, published by nobody."""
    user = await run(PassengerFactory.create)()
    client = await connect(user)
    frame = events.encode(
        events.NotificationPassenger(
            notification_id=1, title="Hi", message="", priority="low", category="system", action_url=""
        )
    )
    await run(Event.objects.create)(
        event_id="e1", group=f"user.{user.pk}", type="notification.passenger", frame=frame, sweep_at=timezone.now()
    )
    assert (await client.until("notification.passenger"))["title"] == "Hi"


# Commands


async def test_subscribe_stores_filters_on_the_driver(connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=ALMATY)
    client = await connect(driver.user)
    filters = {"max_distance_km": 12.5, "min_earnings": 2000, "trip_types": ["private"], "accepts_long_distance": False}
    await client.send(type="driver.subscribe", filters=filters, ref="f")
    await client.until("ack", ref="f")
    stored = await Driver.objects.aget(pk=driver.pk)
    assert {name: getattr(stored, name) for name in filters} == filters


async def test_unsubscribed_driver_gets_no_offers_until_subscribing_again(connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=ALMATY)
    client = await connect(driver.user)
    await client.send(type="driver.unsubscribe", ref="u")
    await client.until("ack", ref="u")
    await run(bookings.book)(await run(PassengerFactory.create)(), request_to())
    assert "trip.offer.created" not in await client.heard()
    await client.send(type="driver.subscribe", ref="s")
    assert (await client.until("trip.offer.created"))["trip_type"] == "private"


async def test_trip_subscribe_is_for_people_on_the_trip(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.COMPLETED)
    own, other = await connect(trip.organiser), await connect(await run(PassengerFactory.create)())
    await own.send(type="trip.subscribe", trip_ids=[trip.pk], ref="t")
    await own.until("ack", ref="t")
    assert (await own.until("trip.snapshot"))["status"] == "completed"
    await other.send(type="trip.subscribe", trip_ids=[trip.pk], ref="t")
    assert (await other.until("error"))["code"] == "trip.not_found"


async def test_passenger_stays_when_another_one_cancels(connect: Connect) -> None:
    trip = await run(TripFactory.create)(trip_type="shared", status=TripStatus.PUBLISHED)
    staying, leaving = await run(PassengerFactory.create_batch)(2)
    for passenger, status in ((staying, BookingStatus.CONFIRMED), (leaving, BookingStatus.CANCELLED)):
        await run(Booking.objects.create)(trip=trip, passenger=passenger, status=status, amount=trip.fare)
    client = await connect(staying)
    assert (await client.until("trip.snapshot"))["trip_id"] == trip.pk


async def test_trip_unsubscribe_ends_its_frames(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED)
    client = await connect(trip.organiser)
    await client.until("trip.snapshot")
    await client.send(type="trip.unsubscribe", trip_ids=[trip.pk], ref="t")
    await client.until("ack", ref="t")
    await run(trip.move)(TripStatus.EN_ROUTE, "driver")
    assert await client.is_silent()


async def test_decline_is_answered(connect: Connect) -> None:
    offer = await run(OfferFactory.create)()
    client = await connect(offer.driver.user)
    await client.send(type="trip.offer.decline", offer_id=offer.pk, reason="too far", ref="no")
    assert (await client.until("ack"))["status"] == "declined"
    assert (await Offer.objects.aget(pk=offer.pk)).reason == "too far"


async def test_availability_is_answered_with_what_it_became(connect: Connect) -> None:
    driver = await run(DriverFactory.create)()
    client = await connect(driver.user)
    await client.send(type="driver.availability.update", availability="available", ref="on")
    assert (await client.until("ack"))["status"] == "available"


async def test_ping_is_answered_with_its_ref_and_a_cursor(connect: Connect) -> None:
    client = await connect(await run(PassengerFactory.create)())
    await client.send(type="ping", ref="p")
    frame = await client.receive()
    assert (frame["type"], frame["ref"]) == ("heartbeat", "p")
    assert frame["cursor"]


# Resuming


async def test_resume_delivers_what_was_missed(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED)
    client = await connect(trip.organiser, greeted=False)
    cursor = (await client.until("connection.established"))["cursor"]
    await client.communicator.disconnect()
    await run(trip.move)(TripStatus.EN_ROUTE, "driver")
    again = await connect(trip.organiser)
    await again.until("trip.snapshot")
    await again.send(type="resume", cursor=cursor, ref="r")
    assert (await again.until("trip.status.updated"))["new"] == "en_route"
    await again.until("ack", ref="r")


@pytest.mark.parametrize("cursor", ["", "x", "1.0", "-1.99999999999", "1"])
async def test_resume_from_a_useless_cursor_asks_for_resync(connect: Connect, cursor: str) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED)
    client = await connect(trip.organiser)
    await client.until("trip.snapshot")
    await client.send(type="resume", cursor=cursor, ref="r")
    assert (await client.until("error"))["code"] == "resync.required"
    assert (await client.until("trip.snapshot"))["trip_id"] == trip.pk


# Bad input: each an error with a stable code, and the socket survives

BAD: list[tuple[Any, str]] = [
    ("{", "frame.malformed"),
    ("[", "frame.malformed"),
    ("1e999", "frame.malformed"),
    ("\x00", "frame.malformed"),
    ("[" * 20_000, "frame.malformed"),
    ('{"type":"ping","more":' + "[" * 30_000 + "]" * 30_000 + "}", "frame.malformed"),
    ('{"type":"x"', "frame.malformed"),
    ('{"type":"ping","ref":5}x', "frame.malformed"),
    ('{"type":"ping","ref":"\\ud800"}', "frame.malformed"),
    ('{"type":"\\ud800"}', "frame.malformed"),
    ('{"type":"ping","ref":"\ud800"}', "frame.malformed"),
    ('{"type":"driver.location.update","points":[{"lat":1e999,"lng":76}]}', "frame.malformed"),
    ('{"type":"trip.subscribe","trip_ids":[' + "9" * 5000 + "]}", "frame.malformed"),
    ("[]", "message.unknown_type"),
    ('"text"', "message.unknown_type"),
    ('{"type":"x","ref":"1"}', "message.unknown_type"),
    ('{"ref":"1"}', "message.unknown_type"),
    ('{"type":"trip.offer.accept"}', "message.invalid"),
    ('{"type":"trip.offer.accept","offer_id":"7"}', "message.invalid"),
    ('{"type":"trip.offer.accept","offer_id":999999}', "offer.not_found"),
    ('{"type":"trip.offer.accept","offer_id":99999999999999999999}', "message.invalid"),
    ('{"type":"trip.subscribe","trip_ids":[]}', "message.invalid"),
    ('{"type":"trip.subscribe","trip_ids":[99999999999999999999]}', "message.invalid"),
    ('{"type":"trip.subscribe","trip_ids":[9223372036854775808]}', "message.invalid"),
    ('{"type":"trip.subscribe","trip_ids":[9223372036854775807]}', "trip.not_found"),
    ('{"type":"trip.offer.accept","offer_id":9223372036854775807}', "offer.not_found"),
    ('{"type":"driver.location.update","points":[]}', "message.invalid"),
    ('{"type":"driver.location.update","points":[{"lat":91,"lng":0}]}', "message.invalid"),
    ('{"type":"driver.location.update","points":[{"lat":"43","lng":76}]}', "message.invalid"),
    ('{"type":"driver.location.update","points":[{"lat":NaN,"lng":76}]}', "frame.malformed"),
    ('{"type":"driver.availability.update","availability":"busy"}', "message.invalid"),
    ('{"type":"trip.status.update","trip_id":1,"status":"flying"}', "trip.status_unknown"),
    ('{"type":"trip.status.update","trip_id":1,"status":"en_route"}', "trip.not_found"),
    ('{"type":"trip.status.update","trip_id":1,"status":"delayed"}', "input.invalid"),
    ('{"type":"trip.status.update","trip_id":1,"status":"en_route","note":"a\\u0000b"}', "message.invalid"),
    ('{"type":"trip.offer.decline","offer_id":1,"reason":"\\u0000"}', "message.invalid"),
    (b"\x00\x01", "message.invalid"),
]


@pytest.mark.parametrize(("frame", "code"), BAD)
async def test_bad_frame_is_answered_and_survived(connect: Connect, frame: str | bytes, code: str) -> None:
    client = await connect((await run(DriverFactory.create)(at=ALMATY)).user)
    if isinstance(frame, bytes):
        await client.send_bytes(frame)
    else:
        await client.send_text(frame)
    assert (await client.receive())["code"] == code
    await client.send(type="ping", ref="alive")
    assert (await client.receive())["ref"] == "alive"


async def test_too_large_frame_closes_with_1009(connect: Connect) -> None:
    client = await connect(await run(PassengerFactory.create)())
    await client.send_text("x" * (64 * 1024 + 1))
    assert (await client.receive())["code"] == "frame.too_large"
    assert await client.closed_with() == 1009


async def test_passenger_cannot_send_driver_commands(connect: Connect) -> None:
    client = await connect(await run(PassengerFactory.create)())
    await client.send(type="driver.location.update", points=[{"lat": 1, "lng": 1}], ref="x")
    frame = await client.receive()
    assert (frame["code"], frame["ref"]) == ("driver.not_a_driver", "x")


async def test_illegal_transition_is_refused(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED)
    client = await connect(trip.driver.user)
    await client.send(type="trip.status.update", trip_id=trip.pk, status="completed", ref="x")
    assert (await client.until("error"))["code"] == "trip.transition_refused"
    assert (await Trip.objects.aget(pk=trip.pk)).status == TripStatus.ACCEPTED


async def test_status_updates_are_limited_per_driver(connect: Connect) -> None:
    await run(ServiceSettings.objects.create)(pk=1, status_per_min=1)
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED)
    client = await connect(trip.driver.user)
    await client.send(type="trip.status.update", trip_id=trip.pk, status="en_route", ref="1")
    await client.until("ack", ref="1")
    await client.send(type="trip.status.update", trip_id=trip.pk, status="driver_arrived", ref="2")
    frame = await client.until("error")
    assert frame["code"] == "rate.limited"
    assert 0 < frame["retry_after_s"] <= 60


async def test_availability_is_limited_per_driver(connect: Connect) -> None:
    """Each time a driver comes online every trip around is looked at."""
    await run(ServiceSettings.objects.create)(pk=1, status_per_min=2)
    client = await connect((await run(DriverFactory.create)(at=ALMATY)).user)
    for wanted in ("offline", "available", "offline"):
        await client.send(type="driver.availability.update", availability=wanted, ref=wanted)
    assert (await client.until("error"))["code"] == "rate.limited"


@pytest.mark.parametrize("first", ["rest", "page"])
async def test_a_limit_of_a_verb_is_shared_by_socket_rest_and_page(connect: Connect, first: str) -> None:
    await run(ServiceSettings.objects.create)(pk=1, status_per_min=1, changes_per_min=1, answers_per_min=1)
    offer = await run(OfferFactory.create)()
    user = offer.driver.user

    def elsewhere() -> list[int]:
        http = DjangoClient()
        http.force_login(user)
        json = "application/json"
        if first == "page":
            return [
                http.post("/driver/availability/", {"online": "1"}).status_code,
                http.post("/driver/filters/", {"trip_types": "private"}).status_code,
                http.post(f"/driver/offers/{offer.pk}/decline/").status_code,
            ]
        return [
            http.put("/api/drivers/availability", {"availability": "available"}, json).status_code,
            http.put("/api/drivers/filters", {"trip_types": ["private"]}, json).status_code,
            http.post(f"/api/drivers/trips/decline/{offer.trip_id}", content_type=json).status_code,
        ]

    assert await run(elsewhere)() == ([302] * 3 if first == "page" else [200] * 3)
    client = await connect(user)
    await client.send(type="driver.availability.update", availability="available", ref="1")
    await client.send(type="driver.subscribe", filters={"max_distance_km": 5}, ref="2")
    await client.send(type="trip.offer.decline", offer_id=offer.pk, ref="3")
    for ref in ("1", "2", "3"):
        frame = await client.until("error")
        assert (frame["ref"], frame["code"]) == (ref, "rate.limited")


async def test_what_the_database_refuses_is_a_fault_and_not_tried_again(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await connect((await run(DriverFactory.create)(at=ALMATY)).user)

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise DataError("value too long")

    monkeypatch.setattr(driving, "update_status", refuse)
    await client.send(type="trip.status.update", trip_id=1, status="en_route", ref="x")
    frame = await client.until("error")
    assert (frame["code"], frame["ref"]) == ("server.error", "x")


# Rights that end


async def test_right_that_ends_while_a_trip_is_subscribed_to_is_not_joined(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check has said yes, staff take the trip off the driver, the socket hears of it, and only then it joins."""
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED)
    client = await connect(trip.driver.user)
    staff = await run(StaffFactory.create)()
    require, prepare = commands.require_trips, base.SocketConsumer._prepare
    heard = threading.Event()

    def check(user: User, trip_ids: set[int]) -> None:
        require(user, trip_ids)
        assignment.take_off(trip.pk, staff, "complaint")
        assert heard.wait(5)

    async def prepare_and_say(socket: base.SocketConsumer) -> None:
        if socket._changing_groups.locked():
            heard.set()  # it waits until the socket has joined
        await prepare(socket)
        heard.set()

    monkeypatch.setattr(commands, "require_trips", check)
    monkeypatch.setattr(base.SocketConsumer, "_prepare", prepare_and_say)
    await client.send(type="trip.subscribe", trip_ids=[trip.pk], ref="t")
    await client.until("ack", ref="t")
    await client.send(type="ping", ref="p")
    await client.until("heartbeat", ref="p")
    await run(bookings.cancel)(trip.pk, trip.organiser)
    assert not [frame async for frame in _frames(client) if frame.get("new") == "cancelled"]


async def test_subscribing_while_rights_are_looked_at_is_not_undone(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.COMPLETED)
    client = await connect(trip.organiser)
    read_rights = commands.read_rights
    asked, answered = threading.Event(), threading.Event()

    def slow(user: User, watched: frozenset[int]) -> commands.Rights:
        found = read_rights(user, watched)
        asked.set()
        answered.wait(5)
        return found

    monkeypatch.setattr(commands, "read_rights", slow)
    await run(refresh_permissions)(f"user.{trip.organiser_id}")
    await run(asked.wait)(5)
    await client.send(type="trip.subscribe", trip_ids=[trip.pk], ref="t")
    assert await client.is_silent()  # it does not slip in between
    await run(answered.set)()
    await client.until("ack", ref="t")
    await client.until("trip.snapshot")
    monkeypatch.setattr(commands, "read_rights", read_rights)
    await run(trip.amend)("still here")
    assert (await client.until("trip.status.updated"))["note"] == "still here"


async def test_leaving_trips_that_nobody_joined_keeps_nothing(connect: Connect) -> None:
    client = await connect(await run(PassengerFactory.create)())
    await client.send(type="trip.unsubscribe", trip_ids=list(range(1, 101)), ref="t")
    await client.until("ack", ref="t")
    (socket,) = base.open_sockets
    assert not socket._left


async def test_suspended_driver_cannot_send_positions(connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=ALMATY, user__language="ru")
    client = await connect(driver.user)
    await run(approvals.suspend)(driver.pk, await run(StaffFactory.create)())
    await client.until("notification.driver")
    refused = await client.until("error")
    with override("ru"):
        assert (refused["code"], refused["message"]) == ("driver.not_approved", gettext("Your account is suspended."))
    assert await client.closed_with() == 4410

    again = await connect(driver.user)
    await again.send(type="driver.location.update", points=[{"lat": 1, "lng": 1}], ref="x")
    assert (await again.until("error", ref="x"))["code"] == "driver.not_approved"


async def test_suspended_driver_has_the_trip_that_is_to_be_finished(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status="in_transit", driver=await run(DriverFactory.create)(at=ALMATY))
    client = await connect(trip.driver.user)
    await run(approvals.suspend)(trip.driver.pk, await run(StaffFactory.create)())
    await client.until("error")
    assert await client.closed_with() == 4410

    again = await connect(trip.driver.user)
    assert (await again.until("trip.snapshot"))["trip_id"] == trip.pk
    await again.send(type="trip.status.update", trip_id=trip.pk, status="arrived", ref="there")
    await again.until("ack", ref="there")
    # Another change of their rights does not close what they have been left with.
    await run(refresh_permissions)(f"driver.{trip.driver.pk}")
    await run(notify)(trip.driver.user, "Something happened", audience="driver")
    await again.until("notification.driver", title="Something happened")


async def test_revoked_token_closes_the_socket(server: None) -> None:
    user = await run(PassengerFactory.create)()
    token = (await run(sign_in)(user))["access"]
    communicator = WebsocketCommunicator(application, "/ws/", subprotocols=["stepper.v1", f"bearer.{token}"])
    await communicator.connect()
    await communicator.receive_from()
    await run(end_session)(token)
    assert msgspec.json.decode(await communicator.receive_from(timeout=5))["code"] == "auth.required"
    assert (await communicator.receive_output())["code"] == 4401
    await communicator.disconnect()


async def test_signing_out_closes_the_page_socket_and_not_another_session(server: None) -> None:
    user = await run(PassengerFactory.create)()
    leaving, staying = await _with_cookie(user, "http://testserver"), await _with_cookie(user, "http://testserver")
    for communicator in (leaving, staying):
        await communicator.receive_from()
    key = dict(leaving.scope["headers"])[b"cookie"].decode().partition("=")[2]
    await run(_sign_out)(key)
    assert msgspec.json.decode(await leaving.receive_from(timeout=5))["code"] == "auth.required"
    assert await staying.receive_nothing(timeout=0.3)
    for communicator in (leaving, staying):
        await communicator.disconnect()


def _sign_out(session_key: str) -> None:
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    assert isinstance(user, User)
    request.user = user
    get_adapter(request).logout(request)


async def test_released_driver_hears_of_the_trip_no_more(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED)
    client = await connect(trip.driver.user)
    await client.until("trip.snapshot")
    await client.send(type="trip.status.update", trip_id=trip.pk, status="released", ref="r")
    # The answer and the event come in either order; afterwards the socket has left the trip.
    seen: set[str] = set()
    while not {"ack", "trip.status.updated"} <= seen:
        seen.add((await client.receive())["type"])
    await run(bookings.cancel)(trip.pk, trip.organiser)
    assert not [frame async for frame in _frames(client) if frame.get("new") == "cancelled"]


async def _frames(client: Any) -> Any:
    while not await client.communicator.receive_nothing(timeout=0.3):
        yield await client.receive()


async def test_closing_one_tab_leaves_the_others(connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=ALMATY)
    tabs = [await connect(driver.user) for _ in range(3)]
    await tabs[0].communicator.disconnect()
    await tabs[1].communicator.disconnect()
    trip = await run(bookings.book)(await run(PassengerFactory.create)(), request_to(AIRPORT))
    assert (await tabs[2].until("trip.offer.created"))["trip_id"] == trip.pk


async def test_event_in_two_groups_of_a_socket_arrives_once(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED)
    client = await connect(trip.driver.user)
    await client.until("trip.snapshot")
    await run(trip.move)(TripStatus.EN_ROUTE, "driver")
    frames = [frame async for frame in _frames(client)]
    assert [frame["type"] for frame in frames] == ["trip.status.updated"]


# Pages


async def test_driver_page_gets_a_snapshot_and_new_cards(connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=ALMATY)
    page = await connect(driver.user, "/ws/dashboard/driver/")
    assert 'data-testid="stat-today"' in await page.receive_html()
    trip = await run(bookings.book)(await run(PassengerFactory.create)(), request_to())
    html = await page.receive_html()
    offer = await Offer.objects.aget(trip=trip)
    assert f'id="offer-{offer.pk}"' in html


async def test_trip_page_follows_the_trip(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED)
    page = await connect(trip.organiser, f"/ws/dashboard/trips/{trip.pk}/")
    assert "trip-status" in await page.receive_html()
    await run(trip.move)(TripStatus.EN_ROUTE, "driver")
    assert "on the way" in await page.receive_html()


async def test_notification_reaches_every_page_of_the_user_in_their_language(connect: Connect) -> None:
    user = await run(UserFactory.create)()
    page = await connect(user, "/ws/dashboard/trips/")
    await page.receive_html()
    await run(notify)(user, "Your driver is near", audience="passenger")
    assert "Your driver is near" in await page.receive_html()
    assert await Notification.objects.filter(user=user).acount() == 1


async def test_stopping_server_sends_sockets_away_to_come_back(connect: Connect) -> None:
    client = await connect(await run(PassengerFactory.create)())
    await lifespan.stop()
    assert await client.closed_with() == 1012
    await lifespan.start()
