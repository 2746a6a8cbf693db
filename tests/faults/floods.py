"""The costly verbs, each as somebody floods the service with it. A new verb is one row in `VERBS`.

An attempt says what became of it: "done", the code of a refusal, or the status of a page that is neither. The
benchmark `tests.bench.abuse` floods with the same rows.
"""

import asyncio
import contextlib
import datetime as dt
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import websockets
from django.conf import settings
from django.utils import timezone
from websockets import Subprotocol

from drivers.models import Driver
from stepper.models import ServiceSettings, User
from stepper.tokens import sign_in
from tests.browsing import session_cookie
from tests.factories import PASSWORD, DriverFactory, OfferFactory, PassengerFactory, TripFactory
from trips.states import TripStatus

# What every verb is limited to in the tests, and how often it is called.
LIMIT, ATTEMPTS = 10, 30
# What one account may do with its sockets in a minute, by default.
SOCKET_COMMANDS, SOCKETS = 60, 20
AT_ONCE = 4
ANSWER_WITHIN_S = 30
DONE, LIMITED = "done", "rate.limited"


@dataclass
class Flooder:
    """One account, at all servers in turn."""

    user: User
    driver: Driver | None
    urls: Sequence[str]
    token: str
    refresh: str
    cookies: dict[str, str]
    # Rows of theirs, and an offer to somebody else: names to ids.
    rows: dict[str, int]
    place: tuple[float, float]
    client: httpx.AsyncClient = field(init=False)
    sockets: list[Any] = field(default_factory=list)
    # Frames that came over sockets, by type.
    frames: Counter[str] = field(default_factory=Counter)
    _sent: dict[str, asyncio.Future[str]] = field(default_factory=dict)
    _readers: list[asyncio.Task[None]] = field(default_factory=list)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @contextlib.asynccontextmanager
    async def online(self) -> AsyncIterator["Flooder"]:
        async with httpx.AsyncClient(timeout=ANSWER_WITHIN_S, verify=False) as self.client:  # noqa: S501 - no TLS at all
            try:
                yield self
            finally:
                for reader in self._readers:
                    reader.cancel()
                for one in self.sockets:
                    await one.close()

    @property
    def booking(self) -> dict[str, Any]:
        lat, lng = self.place
        return {"pickup": {"name": "A", "lat": lat, "lng": lng}, "dropoff": {"name": "B", "lat": lat + 0.1, "lng": lng}}

    async def rest(self, number: int, method: str, path: str, body: Any = None, signed: bool = True) -> str:
        headers = {"Authorization": f"Bearer {self.token}"} if signed else {}
        response = await self.client.request(method, f"{self._url(number)}/api/{path}", json=body, headers=headers)
        return DONE if response.is_success else str(response.json()["code"])

    async def page(self, number: int, method: str, path: str, data: dict[str, Any], signed: bool = True) -> str:
        csrf = "c" * 32
        cookies = {settings.CSRF_COOKIE_NAME: csrf, **(self.cookies if signed else {})}
        response = await self.client.request(
            method,
            self._url(number) + path,
            headers={"X-CSRFToken": csrf, "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())},
            **{"params" if method == "GET" else "data": data},
        )
        if response.status_code == 429:
            return LIMITED
        return DONE if response.is_success or response.is_redirect else str(response.status_code)

    async def command(self, number: int, kind: str, **members: Any) -> str:
        """Over one of two sockets."""
        async with self._opening:
            while len(self.sockets) < 2:
                await self.open(len(self.sockets))
        ref = f"flood-{number}"
        self._sent[ref] = asyncio.get_running_loop().create_future()
        await self.sockets[number % 2].send(json.dumps({"type": kind, "ref": ref, **members}))
        return await asyncio.wait_for(self._sent[ref], ANSWER_WITHIN_S)

    async def open(self, number: int) -> str:
        """One more socket; done: it was greeted."""
        protocols = [Subprotocol("stepper.v1"), Subprotocol(f"bearer.{self.token}")]
        url = self._url(number).replace("http", "ws", 1)
        socket = await websockets.connect(
            f"{url}/ws/", subprotocols=protocols, max_queue=None, open_timeout=ANSWER_WITHIN_S
        )
        first = json.loads(await asyncio.wait_for(socket.recv(), ANSWER_WITHIN_S))
        self.sockets.append(socket)
        self._readers.append(asyncio.create_task(self._read(socket)))
        return DONE if first["type"] == "connection.established" else str(first["code"])

    async def _read(self, socket: Any) -> None:
        async for text in socket:
            frame = json.loads(text)
            self.frames[frame["type"]] += 1
            waiting = self._sent.get(frame.get("ref", ""))
            if waiting is not None and not waiting.done():
                waiting.set_result(frame["code"] if frame["type"] == "error" else DONE)

    def _url(self, number: int) -> str:
        return self.urls[number % len(self.urls)]


def make_flooder(urls: Sequence[str], place: tuple[float, float], as_driver: bool) -> Flooder:
    driver = DriverFactory.create(at=place) if as_driver else None
    user: User = driver.user if driver is not None else PassengerFactory.create()
    waiting = TripFactory.create(organiser=user, status=TripStatus.UNFILLED, pickup=place, in_=dt.timedelta(days=1))
    done = TripFactory.create(organiser=user, status=TripStatus.COMPLETED)
    rows = {"waiting": waiting.pk, "done": done.pk}
    if driver is not None:
        mine = TripFactory.create(driver=driver, status=TripStatus.ACCEPTED, pickup=place, in_=dt.timedelta(hours=5))
        rated = TripFactory.create(driver=driver, status=TripStatus.COMPLETED, pickup=place)
        foreign = OfferFactory.create(trip__pickup=place, trip__in_=dt.timedelta(days=2))
        rows |= {"mine": mine.pk, "rated": rated.pk, "offer": foreign.pk, "offered": foreign.trip_id}
    tokens = sign_in(user)
    cookies = {settings.SESSION_COOKIE_NAME: session_cookie(user, urls[0])["value"]}
    return Flooder(user, driver, urls, tokens["access"], tokens["refresh"], cookies, rows, place)


def limit_every_verb(most: int) -> None:
    """Every "… a minute" of the settings but what REST as a whole allows: that would hide the verbs' own."""
    names = [one.name for one in ServiceSettings._meta.get_fields() if one.name.endswith("_per_min")]
    values = {**dict.fromkeys(names, most), "api_per_min": 100_000}
    ServiceSettings.objects.update_or_create(pk=1, defaults=values)


Attempt = Callable[[Flooder, int], Awaitable[str]]


@dataclass(frozen=True)
class Verb:
    """`most` attempts of `attempts` may reach the domain, the others are refused with a code of `refusals`; None: it
    is not refused, only cheap. `rows` is how many rows one that gets through may write."""

    name: str
    attempt: Attempt
    as_driver: bool = False
    attempts: int = ATTEMPTS
    most: int | None = LIMIT
    refusals: frozenset[str] = frozenset({LIMITED})
    rows: int = 12

    def __str__(self) -> str:
        return self.name


async def flood(verb: Verb, flooder: Flooder, attempts: int, outcomes: Counter[str] | None = None) -> Counter[str]:
    """Calls the verb so often, several at once; what became of it, also while it goes on."""
    outcomes = Counter() if outcomes is None else outcomes
    numbers = iter(range(attempts))

    async def go_on() -> None:
        for number in numbers:
            outcomes[await verb.attempt(flooder, number)] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(go_on())
    return outcomes


# The table


def _rest(method: str, path: str, body: Callable[[Flooder, int], Any] = lambda _flooder, _number: {}) -> Attempt:
    return lambda flooder, number: flooder.rest(number, method, path.format(**flooder.rows), body(flooder, number))


def _page(
    path: str, data: Callable[[Flooder, int], dict[str, Any]] = lambda _flooder, _number: {}, method: str = "POST"
) -> Attempt:
    return lambda flooder, number: flooder.page(number, method, path.format(**flooder.rows), data(flooder, number))


def _command(kind: str, members: Callable[[Flooder, int], dict[str, Any]] = lambda _flooder, _number: {}) -> Attempt:
    return lambda flooder, number: flooder.command(number, kind, **members(flooder, number))


def _later(_flooder: Flooder, number: int) -> dict[str, Any]:
    return {"departure_at": (timezone.now() + dt.timedelta(days=2, minutes=number)).isoformat()}


def _booking_form(flooder: Flooder, _number: int) -> dict[str, Any]:
    lat, lng = flooder.place
    places = {"pickup_lat": lat, "pickup_lng": lng, "dropoff_lat": lat + 0.1, "dropoff_lng": lng}
    return {**places, "departure": "now", "vehicle_class": "sedan", "seats": 1}


def _switch(_flooder: Flooder, number: int) -> dict[str, Any]:
    return {"availability": ("offline", "available")[number // AT_ONCE % 2]}


def _delay(_flooder: Flooder, number: int) -> dict[str, Any]:
    return {"status": "delayed", "delay_minutes": number + 1, "delay_reason": "Traffic"}


def _points(count: int) -> Callable[[Flooder, int], dict[str, Any]]:
    return lambda flooder, _number: {"points": [{"lat": flooder.place[0], "lng": flooder.place[1]}] * count}


def _planned(_flooder: Flooder, number: int) -> dict[str, Any]:
    start = timezone.now() + dt.timedelta(hours=number + 1)
    return {"starts_at": start.isoformat(), "ends_at": (start + dt.timedelta(minutes=30)).isoformat()}


def _signs_in(password: str, by_page: bool = False) -> Attempt:
    def attempt(flooder: Flooder, number: int) -> Awaitable[str]:
        email = flooder.user.email
        if by_page:
            return flooder.page(number, "POST", "/accounts/login/", {"login": email, "password": password}, False)
        return flooder.rest(number, "POST", "token", {"email": email, "password": password}, False)

    return attempt


def _refreshes(flooder: Flooder, number: int) -> Awaitable[str]:
    return flooder.rest(number, "POST", "token/refresh", {"refresh": flooder.refresh}, False)


_BOOKED = frozenset({LIMITED, "booking.too_many", "booking.overlapping", "422"})
_FILTERS = {"trip_types": ["private"], "accepts_long_distance": True}
_FAILURES, _SIGN_INS = 5, 20

VERBS = (
    Verb("book", _rest("POST", "trips", lambda flooder, _number: flooder.booking), refusals=_BOOKED),
    Verb("book, page", _page("/trips/new/", _booking_form), refusals=_BOOKED),
    Verb("quote", _rest("POST", "trips/quote", lambda flooder, _number: flooder.booking), rows=0),
    Verb("quote, page", _page("/trips/quote/", _booking_form, "GET"), rows=0),
    Verb("cancel", _rest("POST", "trips/{waiting}/cancel")),
    Verb("cancel, page", _page("/trips/{waiting}/cancel/")),
    Verb("widen", _rest("POST", "trips/{waiting}/widen", lambda _flooder, number: {"radius_km": 60 + number})),
    Verb("widen, page", _page("/trips/{waiting}/widen/", lambda _flooder, number: {"radius_km": 60 + number})),
    Verb("postpone", _rest("POST", "trips/{waiting}/postpone", _later)),
    Verb("postpone, page", _page("/trips/{waiting}/postpone/", _later)),
    Verb("offer again", _rest("POST", "trips/{waiting}/broadcast-offer")),
    Verb("offer again, page", _page("/trips/{waiting}/offer-again/")),
    Verb("rate", _rest("POST", "trips/{done}/rate", lambda _flooder, _number: {"stars": 5})),
    Verb("rate, page", _page("/trips/{done}/rate/", lambda _flooder, _number: {"stars": 5})),
    Verb("rate, driver's page", _page("/driver/trips/{rated}/rate/", lambda _flooder, _number: {"stars": 5}), True),
    Verb("read all notifications", _page("/notifications/read-all/")),
    Verb("sign in", _signs_in(PASSWORD), most=_SIGN_INS),
    Verb("sign in, page", _signs_in(PASSWORD, by_page=True), most=_SIGN_INS),
    Verb("sign in with a wrong password", _signs_in("wrong"), most=_FAILURES, rows=0),
    Verb("sign in with a wrong password, page", _signs_in("wrong", by_page=True), most=_FAILURES, rows=0),
    Verb("refresh with one token", _refreshes, most=1, refusals=frozenset({LIMITED, "auth.token_invalid"})),
    Verb("availability", _rest("PUT", "drivers/availability", _switch), True),
    Verb("availability, page", _page("/driver/availability/", lambda _f, number: {"online": number % 2}), True),
    Verb("availability, socket", _command("driver.availability.update", _switch), True),
    Verb("status", _rest("PUT", "drivers/trips/{mine}/status", _delay), True),
    Verb("status, page", _page("/driver/trips/{mine}/status/", _delay), True),
    Verb(
        "status, socket", _command("trip.status.update", lambda f, n: {"trip_id": f.rows["mine"], **_delay(f, n)}), True
    ),
    Verb("accept another's offer", _rest("POST", "drivers/trips/accept/{offered}"), True),
    Verb("accept another's offer, page", _page("/driver/offers/{offer}/accept/"), True),
    Verb(
        "accept another's offer, socket",
        _command("trip.offer.accept", lambda f, _n: {"offer_id": f.rows["offer"]}),
        True,
    ),
    Verb("decline another's offer", _rest("POST", "drivers/trips/decline/{offered}"), True),
    Verb("decline another's offer, page", _page("/driver/offers/{offer}/decline/"), True),
    Verb(
        "decline another's offer, socket",
        _command("trip.offer.decline", lambda f, _n: {"offer_id": f.rows["offer"]}),
        True,
    ),
    Verb("filters", _rest("PUT", "drivers/filters", lambda _flooder, _number: _FILTERS), True),
    Verb("filters, page", _page("/driver/filters/", lambda _flooder, _number: _FILTERS), True),
    Verb("hours", _rest("PUT", "drivers/hours", lambda _flooder, _number: {"timezone": "Asia/Almaty"}), True),
    Verb("plan a break", _rest("POST", "drivers/breaks", _planned), True),
    Verb("positions", _rest("POST", "drivers/location", _points(100)), True, most=None, rows=0),
    Verb("positions, socket", _command("driver.location.update", _points(1)), True, most=None, rows=0),
    Verb("driver.subscribe", _command("driver.subscribe"), True, 90, SOCKET_COMMANDS, rows=0),
    Verb(
        "trip.subscribe",
        _command("trip.subscribe", lambda f, _n: {"trip_ids": [f.rows["done"]]}),
        False,
        90,
        SOCKET_COMMANDS,
        rows=0,
    ),
    Verb(
        "resume",
        _command("resume", lambda _f, _n: {"cursor": "1.1"}),
        False,
        90,
        SOCKET_COMMANDS,
        frozenset({LIMITED}),
        0,
    ),
    Verb("open sockets", Flooder.open, most=SOCKETS, refusals=frozenset({LIMITED, "socket.too_many"}), rows=0),
)
