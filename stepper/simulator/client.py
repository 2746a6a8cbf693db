"""A client of our protocol: signs in for a token, calls REST, keeps a socket open whatever happens to the server.

Reconnects after 1, 2, 4 … at most 10 s, with jitter, without a last try, as every client of ours does. What the
server should not have said (5xx, an error code nobody expects) is counted in `Tally`.
"""

import asyncio
import base64
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from realtime import events

# httpx logs each request at INFO.
logging.getLogger("httpx").setLevel(logging.WARNING)

CONNECT_S = 10
BEAT = "beat"
# Long, because asking again sooner would only add to what a busy server has to do.
ANSWER_S = 60
LAST_ANSWERS_S = 1.0
LONGEST_BACK_OFF_S = 10.0
# Argon2 is meant to be slow; more sign-ins at once only queue on the server.
SIGN_INS_AT_ONCE = 4
# Stars are drawn from these.
STARS = (5, 5, 5, 5, 4, 4, 3)
NOT_SIGNED_IN, NOT_ALLOWED = 4401, 4403
NOT_ALLOWED_S = 60.0

# What a driver does before the settings allow it, as soon as they do.
TOO_EARLY = frozenset({"trip.set_off_too_early", "trip.arrival_too_early", "trip.boarding_too_early"})
# Refusals that happen in a busy city without anybody's fault.
EXPECTED = TOO_EARLY | frozenset(
    {
        "driver.busy",
        "driver.not_approved",
        "driver.overlap",
        "offer.declined",
        "offer.expired",
        "offer.taken",
        "offer.withdrawn",
        "rate.limited",
        "resync.required",
        "trip.cancelled",
        "trip.transition_refused",
        "vehicle.overlap",
    }
)


# Answers over a socket of a server that waits for its database, or has too much to do: as 503 is over REST.
AWAY = frozenset({"server.busy", "server.unavailable"})
READINESS_ANSWER_S = 10


class Refused(Exception):
    """The server understood and said no."""

    def __init__(self, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.retry_after_s = retry_after_s


class Gone(Exception):
    """No answer: the server is away, or the connection broke before it answered."""


def first_cause(error: BaseException) -> BaseException:
    """Return what went wrong first in a group of tasks."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@dataclass
class Tally:
    """What the clients of a run saw go wrong that a busy city does not explain."""

    trouble: Counter[str] = field(default_factory=Counter)
    # Code -> how often a client was refused with it, expected or not.
    refused: Counter[str] = field(default_factory=Counter)

    def add_refusal(self, code: str) -> None:
        self.refused[code] += 1
        if code not in EXPECTED:
            self.trouble[f"refused with {code}"] += 1

    def add_trouble(self, what: str) -> None:
        self.trouble[what] += 1

    @property
    def total(self) -> int:
        return self.trouble.total()


@dataclass
class BackOff:
    """1, 2, 4 … 10 s, each between a half and the whole of itself."""

    rng: Random
    tries: int = 0

    def next_s(self) -> float:
        """Count one more try and return how long to wait before it."""
        self.tries += 1
        longest = min(LONGEST_BACK_OFF_S, 2.0 ** (self.tries - 1))
        return longest * self.rng.uniform(0.5, 1.0)

    async def sleep(self) -> None:
        await asyncio.sleep(self.next_s())

    def reset(self) -> None:
        self.tries = 0


class Api:
    """REST of one server, shared by everybody who uses that server."""

    def __init__(self, url: str, tally: Tally) -> None:
        parts = urlsplit(url.rstrip("/"))
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ValueError(f"{url} is not an address like http://127.0.0.1:8000")
        self.url = url.rstrip("/")
        self.is_local = parts.hostname in {"127.0.0.1", "localhost", "::1"}
        self.socket_url = f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}{parts.path}/ws/"
        self.tally = tally
        self._under_way: set[asyncio.Task[httpx.Response]] = set()
        self._sign_ins = asyncio.Semaphore(SIGN_INS_AT_ONCE)
        self._http = httpx.AsyncClient(
            base_url=self.url,
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=50, max_keepalive_connections=20, keepalive_expiry=4),
            # The environment's proxy cannot reach this machine's own addresses.
            trust_env=not self.is_local,
        )

    async def close(self) -> None:
        """Close the connections, after a moment for requests under way: one broken off is logged as a fault."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=LAST_ANSWERS_S)
        await self._http.aclose()

    async def _request(
        self, method: str, path: str, *, content: bytes | None, headers: dict[str, str]
    ) -> httpx.Response:
        """Send a request that goes on when whoever waits for its answer is stopped."""
        task = asyncio.create_task(self._http.request(method, path, content=content, headers=headers))
        self._under_way.add(task)
        task.add_done_callback(self._on_end)
        return await asyncio.shield(task)

    def _on_end(self, task: asyncio.Task[httpx.Response]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            # Retrieved, so that asyncio does not log it where nobody waits for it any more.
            task.exception()

    async def call(
        self, method: str, path: str, *, body: Any = None, token: str | None = None, key: str | None = None
    ) -> Any:
        """Send a request and return the decoded answer.

        `key`: the Idempotency-Key. Raises Refused (4xx) or Gone (no answer, 5xx).
        """
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if key:
            headers["Idempotency-Key"] = key
        content = msgspec.json.encode(body) if body is not None else None
        try:
            answer = await self._request(method, path, content=content, headers=headers)
        except httpx.TransportError as error:
            raise Gone(type(error).__name__) from error
        if answer.status_code >= 500:
            # 502 to 504 are a proxy's, or ours while starting and stopping: it says "come back".
            if answer.status_code == 500:
                self.tally.add_trouble(f"answered 500 to {method} {path}")
            raise Gone(f"status {answer.status_code}")
        if answer.status_code >= 400:
            raise _refused(answer)
        return msgspec.json.decode(answer.content) if answer.content else None

    async def readiness_codes(self) -> list[str]:
        """Return what the server waits for (docs/operations.md, Health); none: it is ready."""
        try:
            answer = await self._http.get("/health/ready/", timeout=READINESS_ANSWER_S)
            if answer.is_success and not answer.content.startswith(b"{"):
                return []
            return [str(code) for code in msgspec.json.decode(answer.content)["codes"]]
        except (httpx.TransportError, msgspec.DecodeError, KeyError, TypeError):
            return ["server.away"]

    async def sign_in(self, email: str, password: str) -> str:
        """Return an access token. Raises Refused or Gone."""
        async with self._sign_ins:
            answer = await self.call("POST", "/api/token", body={"email": email, "password": password})
        return str(answer["access"])


def _refused(answer: httpx.Response) -> Refused:
    try:
        body = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        body = None
    body = body if isinstance(body, dict) else {}
    after = answer.headers.get("Retry-After", "")
    return Refused(
        str(body.get("code", f"http.{answer.status_code}")),
        str(body.get("message", "")) + (f" {body['fields']}" if body.get("fields") else ""),
        float(after) if after.isdigit() else None,
    )


def _expiry(token: str) -> float:
    """Read the Unix time at which a JWT ends, unverified; 0: it does not say."""
    try:
        payload = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, ValueError, KeyError, TypeError, msgspec.DecodeError):
        return 0.0


class Account:
    """One person's way in: a token that is renewed by signing in again."""

    def __init__(self, api: Api, email: str, *, password: str, rng: Random) -> None:
        self.api = api
        self.email = email
        self._password = password
        self._token = ""
        self._ends_at = 0.0
        self._lock = asyncio.Lock()
        self.rng = rng

    def forget_token(self) -> None:
        self._token = ""

    async def token(self) -> str:
        """Return a valid token, signing in where there is none; wait for a server that is away or busy.

        Raises Refused where the account is not let in.
        """
        async with self._lock:
            back_off = BackOff(self.rng)
            while not self._token or (self._ends_at and self._ends_at - time.time() < 60):
                try:
                    self._token = await self.api.sign_in(self.email, self._password)
                    self._ends_at = _expiry(self._token)
                except Gone:
                    await back_off.sleep()
                except Refused as refusal:
                    if refusal.code != "rate.limited":
                        raise
                    await asyncio.sleep((refusal.retry_after_s or 5) + back_off.next_s())
            return self._token

    async def call(self, method: str, path: str, *, body: Any = None, key: str | None = None) -> Any:
        """Call as `Api.call` does, again while the server is away, over its limits, or no longer knows the token."""
        back_off = BackOff(self.rng)
        renewed = False
        while True:
            try:
                return await self.api.call(method, path, body=body, token=await self.token(), key=key)
            except Gone:
                await back_off.sleep()
            except Refused as refusal:
                if refusal.code == "rate.limited":
                    await asyncio.sleep((refusal.retry_after_s or 5) + back_off.next_s())
                elif refusal.code in {"auth.token_invalid", "auth.required"} and not renewed:
                    renewed = True
                    self.forget_token()
                else:
                    raise


class ReconnectingSocket:
    """A person's WebSocket: open whenever the server is there; frames go to `on_frame`, answers to who asked."""

    def __init__(self, account: Account, on_frame: Callable[[events.Frame], None]) -> None:
        self.account = account
        self.connected = asyncio.Event()
        # How many times the connection was made; who watches it does something once a connection.
        self.connections = 0
        self._on_frame = on_frame
        self._socket: ClientConnection | None = None
        self._pending: dict[str, asyncio.Future[events.Ack]] = {}
        self._refs = itertools.count(1)
        self._silence_s = 60.0
        # A heartbeat came that has to be answered: a silent client is taken for gone.
        self._owes_answer = False

    async def keep_open(self) -> None:
        """Connect and read for ever; ends only by being cancelled, or raises Refused at sign-in."""
        back_off = BackOff(self.account.rng)
        while True:
            try:
                await self._connect_and_read(back_off)
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else None
                if code == NOT_SIGNED_IN:
                    self.account.forget_token()
                elif code == NOT_ALLOWED:
                    await asyncio.sleep(NOT_ALLOWED_S)
            except (OSError, InvalidHandshake, TimeoutError):
                # Refused, reset, not a server yet, silent for two heartbeats: all mean "again later".
                pass
            finally:
                self._fail_pending()
            await back_off.sleep()

    async def _connect_and_read(self, back_off: BackOff) -> None:
        api = self.account.api
        protocols = [Subprotocol(events.PROTOCOL), Subprotocol(f"bearer.{await self.account.token()}")]
        async with connect(
            api.socket_url,
            subprotocols=protocols,
            compression=None,
            ping_interval=None,
            open_timeout=CONNECT_S,
            close_timeout=0.5,
            max_size=1 << 20,
            proxy=None if api.is_local else True,
        ) as socket:
            self._socket = socket
            while True:
                async with asyncio.timeout(self._silence_s):
                    message = await socket.recv(decode=False)
                if self._handle_message(message):
                    back_off.reset()
                if self._owes_answer:
                    self._owes_answer = False
                    await self.send(events.Ping(ref=BEAT))

    def _handle_message(self, message: bytes) -> bool:
        """Handle one frame; True: it is the one that opens a connection."""
        try:
            frame = events.decode_frame(message)
        except msgspec.DecodeError as error:
            self.account.api.tally.add_trouble(f"sent a frame that is not in the contract ({error})")
            return False
        opened = isinstance(frame, events.ConnectionEstablished)
        if isinstance(frame, events.ConnectionEstablished):
            self._silence_s = 2.0 * frame.heartbeat_s + 5
            self.connections += 1
            self.connected.set()
        elif isinstance(frame, events.Heartbeat):
            self._owes_answer = frame.ref is None
        elif isinstance(frame, events.Error):
            self._reject(frame)
        elif isinstance(frame, events.Ack):
            self._resolve(frame)
        self._on_frame(frame)
        return opened

    def _resolve(self, ack: events.Ack) -> None:
        future = self._pending.pop(ack.ref, None)
        if future and not future.done():
            future.set_result(ack)

    def _reject(self, error: events.Error) -> None:
        future = self._pending.pop(error.ref or "", None)
        if error.code in AWAY:
            if future and not future.done():
                future.set_exception(Gone(error.code))
            return
        self.account.api.tally.add_refusal(error.code)
        if future and not future.done():
            future.set_exception(Refused(error.code, error.message, error.retry_after_s))

    def _fail_pending(self) -> None:
        self._socket = None
        self.connected.clear()
        pending, self._pending = self._pending, {}
        for future in pending.values():
            if not future.done():
                future.set_exception(Gone("the connection broke"))

    async def send(self, command: events.Command) -> bool:
        """Send a command without waiting for an answer; False: there is no connection."""
        socket = self._socket
        if socket is None or not self.connected.is_set():
            return False
        try:
            await socket.send(events.encode(command))
        except ConnectionClosed:
            return False
        return True

    async def request(self, command: events.Command) -> events.Ack:
        """Send a command with a `ref` and wait for the answer. Raises Refused or Gone."""
        ref = f"{next(self._refs)}"
        future: asyncio.Future[events.Ack] = asyncio.get_running_loop().create_future()
        self._pending[ref] = future
        try:
            if not await self.send(msgspec.structs.replace(command, ref=ref)):
                raise Gone("not connected")
            async with asyncio.timeout(ANSWER_S):
                return await future
        except TimeoutError as error:
            raise Gone("no answer") from error
        finally:
            self._pending.pop(ref, None)
            if future.done() and not future.cancelled():
                # Retrieved, so that asyncio does not log it where the connection broke while this was being sent.
                future.exception()
