"""Frames and requests that no program of good will sends: the server refuses each with a documented code, logs no
fault, and closes no socket but that of an attack.

`STEPPER_FUZZ_SEED` plays other cases, `STEPPER_FUZZ_FRAMES` and `STEPPER_FUZZ_REQUESTS` more of them (`make fuzz`).
"""

import asyncio
import itertools
import json
import socket
from collections.abc import Iterator, Sequence
from http.client import HTTPException, HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import websockets
from channels.db import database_sync_to_async
from django.conf import settings
from msgspec import DecodeError, ValidationError
from websockets import Origin, Subprotocol

from realtime import events
from stepper.api.tokens import sign_in
from stepper.models import User
from tests.browsing import session_cookie
from tests.live import LiveServer

from .fuzzing import CLOSE_CODES, ERROR_CODES, FRAMES, REQUESTS, SEED, Cast, Log, Problem, cast, fuzzed, report
from .generated import Frame, frame, randoms
from .generated_requests import API, Request, request, routes

__all__ = ["fuzzed"]

# Frames sent at once before a ping says that the socket lives.
BATCH = 25
ANSWER_WITHIN_S = 20
run = database_sync_to_async


# Frames


class Address(NamedTuple):
    """Somebody's socket."""

    name: str
    url: str
    options: dict[str, Any]

    def connect(self) -> Any:
        return websockets.connect(self.url, max_queue=None, max_size=None, open_timeout=ANSWER_WITHIN_S, **self.options)


def _addresses(server: LiveServer, people: Cast) -> list[Address]:
    """Of programs, then of pages."""

    def program(name: str, user: User) -> Address:
        protocols = [Subprotocol("stepper.v1"), Subprotocol(f"bearer.{sign_in(user)['access']}")]
        return Address(f"/ws/ as {name}", f"{server.ws_url}/ws/", {"subprotocols": protocols})

    def page(path: str, user: User) -> Address:
        cookie = f"{settings.SESSION_COOKIE_NAME}={session_cookie(user, server.url)['value']}"
        options = {"origin": Origin(server.url), "additional_headers": {"Cookie": cookie}}
        return Address(path, f"{server.ws_url}/ws/dashboard/{path}", options)

    return [
        program("the driver", people.driver.user),
        program("the passenger", people.passenger),
        program("staff", people.staff),
        page("driver/", people.driver.user),
        page("trips/", people.passenger),
        page(f"trips/{people.world['trip_id'][0]}/", people.passenger),
    ]


class Exchange(NamedTuple):
    """What came back for some frames; `closed_with` None: the socket lives."""

    received: list[str]
    closed_with: int | None


class Talk:
    """A socket that is opened again when it has been closed."""

    def __init__(self, address: Address, log: Log) -> None:
        self.address = address
        self.problems: list[Problem] = []
        self._log = log
        self._socket: Any = None
        self._refs = itertools.count()

    async def send(self, batch: Sequence[Frame]) -> None:
        """Sends them and notes what is wrong with what comes back; of several the culprits are looked for."""
        found = await self._try(batch)
        if found and len(batch) > 1:
            await self.close()
            alone = [problem for one in batch for problem in await self._try([one])]
            found = alone or found
        self.problems += found

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()
            self._socket = None

    async def _try(self, batch: Sequence[Frame]) -> list[Problem]:
        exchange = await self._exchange(batch)
        wrong = list(_faults(batch, exchange))
        if fault := self._log.new_fault():
            wrong.append(f"in the log: {fault}")
        case = batch[0] if len(batch) == 1 else list(batch)
        return [Problem(f"{self.address.name}: {what}", case) for what in wrong]

    async def _exchange(self, batch: Sequence[Frame]) -> Exchange:
        if self._socket is None:
            self._socket = await self.address.connect()
        ref = f"fuzz-{next(self._refs)}"
        received: list[str] = []
        try:
            for one in batch:
                parts = one.fragments
                await self._socket.send(parts if len(parts) > 1 else one.payload, text=one.is_text)
            await self._socket.send(json.dumps({"type": "ping", "ref": ref}))
            async with asyncio.timeout(ANSWER_WITHIN_S):
                while True:
                    received.append(await self._socket.recv())
                    if f'"ref":"{ref}"' in received[-1] and '"heartbeat"' in received[-1]:
                        return Exchange(received[:-1], None)
        except websockets.ConnectionClosed:
            code = self._socket.close_code
            self._socket = None
            return Exchange(received, code)
        except TimeoutError:
            await self.close()
            return Exchange(received, 0)


def _faults(batch: Sequence[Frame], exchange: Exchange) -> list[str]:
    code = exchange.closed_with
    wrong = []
    if code is not None and (len(batch) > 1 or code not in batch[0].closes_with):
        wrong.append(f"closed with {code}" if code else "no answer any more")
    if code is not None and code not in CLOSE_CODES | batch[0].closes_with:
        wrong.append(f"the close code {code} is not documented")
    answers = [json.loads(text) for text in exchange.received if text.startswith("{")]
    for text in exchange.received:
        if text.startswith("{"):
            wrong += _breaks_the_contract(text)
    refused = [one for one in answers if one["type"] == "error"]
    for one in refused:
        if one["code"] not in ERROR_CODES or one["code"] == "server.error" or not one["message"]:
            wrong.append(f"the error {one['code']} {one['message']!r}")
    if code is None and len(refused) < sum(not _is_command(one) for one in batch):
        wrong.append("a refusal is missing")
    return wrong


def _breaks_the_contract(text: str) -> list[str]:
    try:
        events.decode_frame(text)
    except (ValidationError, DecodeError) as error:
        return [f"a frame that breaks the contract: {error}"]
    return []


def _is_command(one: Frame) -> bool:
    try:
        return one.is_text and bool(events.decode_command(one.payload))
    except (ValidationError, DecodeError, UnicodeError, RecursionError):
        return False


async def test_no_frame_closes_a_socket_or_leaves_a_fault_in_the_log(fuzzed: LiveServer) -> None:
    people = await run(cast)()
    log = Log(fuzzed)
    talks = [Talk(address, log) for address in await run(_addresses)(fuzzed, people)]
    made = [frame(random, people.world) for random in randoms(SEED, FRAMES)]
    attacks = [one for one in made if one.closes_with]
    others = [one for one in made if not one.closes_with]
    turns = itertools.cycle(talks)
    # Most of the commands are a program's: a page takes three.
    for batch in _batches(others):
        await next(turns).send(batch)
    for one in attacks:
        await next(turns).send([one])
    for talk in talks:
        await talk.close()
    report((problem for talk in talks for problem in talk.problems), len(made))


def _batches(frames: Sequence[Frame]) -> list[Sequence[Frame]]:
    return [frames[at : at + BATCH] for at in range(0, len(frames), BATCH)]


# Requests


class Signer:
    """Signs requests as somebody; anew after one that may have ended the session."""

    def __init__(self, server: LiveServer, people: Cast) -> None:
        self._server = server
        self._users = {"passenger": people.passenger, "driver": people.driver.user, "staff": people.staff}
        self._headers: dict[tuple[str, bool], list[tuple[bytes, bytes]]] = {}

    def headers(self, who: str, by_token: bool) -> list[tuple[bytes, bytes]]:
        if who == "nobody":
            return []
        key = (who, by_token)
        if key not in self._headers:
            user = self._users[who]
            user.refresh_from_db()
            self._headers[key] = self._bearer(user) if by_token else self._session(user)
        return self._headers[key]

    def forget(self, who: str) -> None:
        for by_token in (True, False):
            self._headers.pop((who, by_token), None)

    def _bearer(self, user: User) -> list[tuple[bytes, bytes]]:
        return [(b"Authorization", f"Bearer {sign_in(user)['access']}".encode())]

    def _session(self, user: User) -> list[tuple[bytes, bytes]]:
        cookie = session_cookie(user, self._server.url)
        csrf = "c" * 32
        cookies = f"{cookie['name']}={cookie['value']}; {settings.CSRF_COOKIE_NAME}={csrf}"
        return [(b"Cookie", cookies.encode()), (b"X-CSRFToken", csrf.encode())]


class Response(NamedTuple):
    """`status` 0: no answer."""

    status: int
    content_type: str
    location: str
    body: bytes


def _send(server: LiveServer, signer: Signer, one: Request) -> Response:
    """As it stands, over a connection of its own."""
    own = {name.lower() for name, _value in one.headers}
    signed = signer.headers(one.who, one.by_token)
    if one.is_socket and signed:
        origin = server.url.encode()
        # A token is a subprotocol there, a cookie counts with an origin.
        protocol = signed[0][1].replace(b"Bearer ", b"stepper.v1, bearer.")
        signed = [(b"Sec-WebSocket-Protocol", protocol)] if one.by_token else [*signed, (b"Origin", origin)]
    headers = [(name, value) for name, value in signed if name.lower() not in own]
    if b"host" not in own:
        headers.append((b"Host", f"127.0.0.1:{server.port}".encode()))
    if one.body and b"content-length" not in own:
        headers.append((b"Content-Length", str(len(one.body)).encode()))
    head = b"".join(name + b": " + value + b"\r\n" for name, value in (*headers, *one.headers))
    with socket.create_connection(("127.0.0.1", server.port), ANSWER_WITHIN_S) as connection:
        connection.sendall(b"%s %s HTTP/1.1\r\n%s\r\n%s" % (one.method.encode(), one.target, head, one.body))
        answer = HTTPResponse(connection, method=one.method)
        try:
            answer.begin()
            # A socket greets or says why it will not.
            body = answer.fp.read(1) if answer.status == 101 else answer.read()
        except (HTTPException, OSError):
            return Response(0, "", "", b"")
    return Response(answer.status, answer.headers.get_content_type(), answer.headers.get("Location", ""), body)


def _refusals(one: Request, got: Response) -> Iterator[str]:
    """What is wrong with a response."""
    if not got.status:
        if not one.is_malformed:
            yield "no answer"
        return
    is_fault = got.status != 503 or (one.path.startswith(API) and b"server.unavailable" not in got.body)
    if got.status >= 500 and is_fault:
        yield f"{got.status}: {got.body[:200]!r}"
    if got.location and urlsplit(got.location).netloc not in ("", f"127.0.0.1:{urlsplit(got.location).port}"):
        yield f"sends to {got.location}"
    if one.method == "HEAD" or not one.path.startswith(API) or one.is_malformed:
        return
    if got.content_type != "application/json":
        if got.status not in (101, 204):
            yield f"{got.status} in {got.content_type}"
    elif got.status >= 400:
        refusal = json.loads(got.body)
        code = refusal.get("code", "")
        if not refusal.get("message") or ERROR_CODES.get(code) != str(got.status):
            yield f"{got.status} with {refusal}"


def test_no_request_is_answered_with_a_fault(fuzzed: LiveServer) -> None:
    people = cast()
    signer, log = Signer(fuzzed, people), Log(fuzzed)
    all_routes = routes()
    problems: list[Problem] = []
    for number, random in enumerate(randoms(SEED, REQUESTS)):
        one = request(random, all_routes[number % len(all_routes)], people.world)
        got = _send(fuzzed, signer, one)
        wrong = list(_refusals(one, got))
        if fault := log.new_fault():
            wrong.append(f"in the log: {fault}")
        problems += (Problem(f"{one.method} {what}", one) for what in wrong)
        if any(word in one.path for word in ("accounts", "token", "sessions")):
            signer.forget(one.who)
    report(problems, REQUESTS)
