"""The costly verbs, each as somebody floods the service with it. A new verb is one row in `VERBS`.

An attempt says what became of it: "done", the code of a refusal, or the status of a page that is neither. The
benchmark `tests.bench.abuse` floods with the same rows.
"""

import asyncio
import contextlib
import datetime as dt
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import websockets
from django.conf import settings
from django.utils import timezone
from websockets import State, Subprotocol
from websockets.exceptions import ConnectionClosed

from drivers.models import Driver
from stepper.api.tokens import sign_in
from stepper.models import ServiceSettings, User
from tests.browsing import session_cookie
from tests.factories import PASSWORD, DriverFactory, OfferFactory, PassengerFactory, TripFactory
from trips.states import TripStatus

# What every verb is limited to in the tests, and how often it is called.
LIMIT, ATTEMPTS = 4, 10
# What one account may do with its sockets in a minute, by default.
SOCKET_COMMANDS, SOCKETS = 60, 20
SOCKET_ATTEMPTS = 80
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
    # What waits for an answer: by its ref, over which socket, and what became of it.
    _sent: dict[str, tuple[Any, asyncio.Future[str]]] = field(default_factory=dict)
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
                await asyncio.gather(*(one.close() for one in self.sockets))

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
        headers = {"X-CSRFToken": csrf, "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        by_get = method == "GET"
        response = await self.client.request(
            method,
            self._url(number) + path,
            headers=headers,
            params=data if by_get else None,
            data=None if by_get else data,
        )
        if response.status_code == 429:
            return LIMITED
        return DONE if response.is_success or response.is_redirect else str(response.status_code)

    async def command(self, number: int, kind: str, **members: Any) -> str:
        """Over one of two sockets, one at each server where there are two."""
        async with self._opening:
            self.sockets = [one for one in self.sockets if one.state is State.OPEN]
            while len(self.sockets) < 2:
                if (refusal := await self.open(len(self.sockets))) != DONE:
                    return refusal
            socket = self.sockets[number % 2]
        ref = f"flood-{number}"
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._sent[ref] = (socket, answer)
        try:
            await socket.send(json.dumps({"type": kind, "ref": ref, **members}))
        except ConnectionClosed as closed:
            return _close_code(closed)
        return await asyncio.wait_for(answer, ANSWER_WITHIN_S)

    async def open(self, number: int) -> str:
        """One more socket; done: it was greeted."""
        protocols = [Subprotocol("stepper.v1"), Subprotocol(f"bearer.{self.token}")]
        url = self._url(number).replace("http", "ws", 1)
        socket = await websockets.connect(
            f"{url}/ws/", subprotocols=protocols, max_queue=None, open_timeout=ANSWER_WITHIN_S
        )
        first = json.loads(await asyncio.wait_for(socket.recv(), ANSWER_WITHIN_S))
        if first["type"] != "connection.established":
            await socket.close()
            return str(first["code"])
        self.sockets.append(socket)
        self._readers.append(asyncio.create_task(self._read(socket)))
        return DONE

    async def _read(self, socket: Any) -> None:
        try:
            while True:
                frame = json.loads(await socket.recv())
                self.frames[frame["type"]] += 1
                _socket, answer = self._sent.pop(frame.get("ref"), (None, None))
                if answer is not None and not answer.done():
                    answer.set_result(frame["code"] if frame["type"] == "error" else DONE)
        except ConnectionClosed as closed:
            for sent_over, answer in self._sent.values():
                if sent_over is socket and not answer.done():
                    answer.set_result(_close_code(closed))

    def _url(self, number: int) -> str:
        return self.urls[number % len(self.urls)]


def _close_code(closed: ConnectionClosed) -> str:
    return str(closed.rcvd.code if closed.rcvd is not None else 1006)


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
    """What one account does too often, in every way there is to do it, which are counted together.

    `most` of the `attempts` may reach the domain, the others are refused with a code of `refusals`; None: they are not
    refused, only cheap. One that gets through may write so many `rows`.
    """

    name: str
    ways: tuple[Attempt, ...]
    as_driver: bool = False
    attempts: int = ATTEMPTS
    most: int | None = LIMIT
    refusals: frozenset[str] = frozenset({LIMITED})
    rows: int = 12

    def __str__(self) -> str:
        return self.name


async def flood(
    verb: Verb, flooder: Flooder, numbers: Iterable[int], outcomes: Counter[str] | None = None
) -> Counter[str]:
    """Call the verb once for each number, several at once; return what became of it, filled in while it goes on."""
    outcomes = Counter() if outcomes is None else outcomes
    numbers = iter(numbers)

    async def go_on() -> None:
        for number in numbers:
            # Its parity chooses the server.
            way = verb.ways[number // 2 % len(verb.ways)]
            outcomes[await way(flooder, number)] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(go_on())
    return outcomes


# The table

Members = Callable[[Flooder, int], dict[str, Any]]


def _always(members: dict[str, Any]) -> Members:
    return lambda _flooder, _number: members


def _numbered(name: str, start: int) -> Members:
    return lambda _flooder, number: {name: start + number}


def _row(name: str, row: str) -> Members:
    return lambda flooder, _number: {name: flooder.rows[row]}


_NOTHING = _always({})


def _rest(method: str, path: str, body: Members = _NOTHING) -> Attempt:
    return lambda flooder, number: flooder.rest(number, method, path.format(**flooder.rows), body(flooder, number))


def _page(path: str, data: Members = _NOTHING, method: str = "POST") -> Attempt:
    return lambda flooder, number: flooder.page(number, method, path.format(**flooder.rows), data(flooder, number))


def _command(kind: str, members: Members = _NOTHING) -> Attempt:
    return lambda flooder, number: flooder.command(number, kind, **members(flooder, number))


def _booking(flooder: Flooder, _number: int) -> dict[str, Any]:
    return flooder.booking


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


def _message(flooder: Flooder, _number: int) -> dict[str, Any]:
    return {"trip_id": flooder.rows["mine"], "text": "Where are you?"}


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
_CROWDED = frozenset({LIMITED, "socket.too_many"})
_FILTERS = _always({"trip_types": ["private"], "accepts_long_distance": True})
_FAILURES, _SIGN_INS = 5, 20

_TEXT = _always({"text": "Where are you?"})
_STARS = _always({"stars": 5})
_RADIUS = _numbered("radius_km", 60)
_OFFER = _row("offer_id", "offer")

VERBS = (
    Verb("book", (_rest("POST", "trips", _booking), _page("/book/", _booking_form)), refusals=_BOOKED),
    Verb("quote", (_rest("POST", "trips/quote", _booking), _page("/trips/quote/", _booking_form)), rows=0),
    Verb("search places", (_rest("POST", "places", _always({"q": "airprt almty"})),), most=None, rows=0),
    Verb("cancel", (_rest("POST", "trips/{waiting}/cancel"), _page("/trips/{waiting}/cancel/"))),
    Verb("change", (_rest("PATCH", "trips/{waiting}", _numbered("bags", 0)),)),
    Verb("widen", (_rest("POST", "trips/{waiting}/widen", _RADIUS), _page("/trips/{waiting}/widen/", _RADIUS))),
    Verb("postpone", (_rest("POST", "trips/{waiting}/postpone", _later), _page("/trips/{waiting}/postpone/", _later))),
    Verb("offer again", (_rest("POST", "trips/{waiting}/broadcast-offer"), _page("/trips/{waiting}/offer-again/"))),
    Verb("rate", (_rest("POST", "trips/{done}/rate", _STARS), _page("/trips/{done}/rate/", _STARS))),
    Verb("rate a passenger", (_page("/driver/trips/{rated}/rate/", _STARS),), True),
    Verb(
        "message",
        (
            _rest("POST", "trips/{mine}/messages", _TEXT),
            _page("/trips/{mine}/messages/", _TEXT),
            _command("trip.message.send", _message),
        ),
        as_driver=True,
    ),
    Verb("call for help", (_rest("POST", "trips/{mine}/safety"), _page("/trips/{mine}/safety/")), as_driver=True),
    Verb("read all notifications", (_page("/notifications/read-all/"),)),
    Verb("sign in", (_signs_in(PASSWORD), _signs_in(PASSWORD, by_page=True)), attempts=25, most=_SIGN_INS),
    Verb(
        "sign in with a wrong password", (_signs_in("wrong"), _signs_in("wrong", by_page=True)), most=_FAILURES, rows=0
    ),
    Verb("refresh with one token", (_refreshes,), most=1, refusals=frozenset({LIMITED, "auth.token_invalid"})),
    Verb(
        "availability",
        (
            _rest("PUT", "drivers/availability", _switch),
            _page("/driver/availability/", _numbered("online", 0)),
            _command("driver.availability.update", _switch),
        ),
        as_driver=True,
    ),
    Verb(
        "status",
        (
            _rest("PUT", "drivers/trips/{mine}/status", _delay),
            _page("/driver/trips/{mine}/status/", _delay),
            _command("trip.status.update", lambda f, number: {"trip_id": f.rows["mine"], **_delay(f, number)}),
        ),
        as_driver=True,
    ),
    Verb(
        "accept another's offer",
        (
            _rest("POST", "drivers/trips/accept/{offered}"),
            _page("/driver/offers/{offer}/accept/"),
            _command("trip.offer.accept", _OFFER),
        ),
        as_driver=True,
    ),
    Verb(
        "decline another's offer",
        (
            _rest("POST", "drivers/trips/decline/{offered}"),
            _page("/driver/offers/{offer}/decline/"),
            _command("trip.offer.decline", _OFFER),
        ),
        as_driver=True,
    ),
    Verb("filters", (_rest("PUT", "drivers/filters", _FILTERS), _page("/driver/filters/", _FILTERS)), True),
    Verb("hours", (_rest("PUT", "drivers/hours", _always({"timezone": "Asia/Almaty"})),), True),
    Verb("plan a break", (_rest("POST", "drivers/breaks", _planned),), True),
    Verb(
        "positions",
        (_rest("POST", "drivers/location", _points(100)), _command("driver.location.update", _points(1))),
        as_driver=True,
        most=None,
        rows=0,
    ),
    Verb("driver.subscribe", (_command("driver.subscribe"),), True, SOCKET_ATTEMPTS, SOCKET_COMMANDS, rows=0),
    Verb(
        "trip.subscribe",
        (_command("trip.subscribe", lambda flooder, _number: {"trip_ids": [flooder.rows["done"]]}),),
        attempts=SOCKET_ATTEMPTS,
        most=SOCKET_COMMANDS,
        rows=0,
    ),
    Verb("resume", (_command("resume", _always({"cursor": "1.1"})),), False, SOCKET_ATTEMPTS, SOCKET_COMMANDS, rows=0),
    Verb("open sockets", (Flooder.open,), attempts=30, most=SOCKETS, refusals=_CROWDED, rows=0),
)
