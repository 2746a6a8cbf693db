"""The people of an upgrade: programs that move from the old server to the new one, and a page in a browser."""

import asyncio
import contextlib
import http.cookies
import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import websockets

from tests.factories import PASSWORD
from tests.faults.people import BACK_OFF_S, Program
from tests.live import LiveServer
from tests.upgrade.installation import HTTPS

ANSWER_WITHIN_S = 15


class Client(Program):
    """Somebody whom the last release signed in. `statuses`: of all their answers."""

    headers = HTTPS

    def __init__(self, who: dict[str, Any], server: LiveServer) -> None:
        super().__init__(server, who["access"], who.get("cursor", ""))
        self.who = who
        self.statuses: Counter[int] = Counter()

    @property
    def groups(self) -> set[str]:
        """What their sockets join besides their trips."""
        return {f"user.{self.who['id']}"} | ({f"driver.{self.who['driver_id']}"} if "driver_id" in self.who else set())

    async def call(self, *arguments: Any, **options: Any) -> httpx.Response:
        answer = await super().call(*arguments, **options)
        self.statuses[answer.status_code] += 1
        return answer

    async def book(self, key: str) -> int:
        """Book a trip for now from where they are; return its number."""
        lat, lng = self.who["lat"], self.who["lng"]
        pickup, dropoff = {"name": "A", "lat": lat, "lng": lng}, {"name": "B", "lat": lat + 0.1, "lng": lng}
        answer = await self.call("POST", "trips", {"pickup": pickup, "dropoff": dropoff}, key=key)
        assert answer.status_code == 201, answer.text[:500]
        return int(answer.json()["id"])

    async def accept(self, trip_id: int) -> int:
        """Accept the offer once it is there; return the answer's status."""
        await self.until("trip.offer.created", trip_id=trip_id)
        return (await self.call("POST", f"drivers/trips/accept/{trip_id}")).status_code

    async def step(self, trip_id: int, *statuses: str) -> None:
        for status in statuses:
            answer = await self.call("PUT", f"drivers/trips/{trip_id}/status", {"status": status})
            assert answer.status_code == 200, answer.text[:500]

    async def report(self, metres: int) -> dict[str, Any]:
        """Report a position some metres north of where they began; return what watchers get of it."""
        point: dict[str, Any] = {"lat": round(self.who["lat"] + metres / 111_000, 5), "lng": self.who["lng"]}
        await self.send(type="driver.location.update", points=[point])
        return point

    async def move(self, server: LiveServer) -> None:
        """Reconnect to another server, with the cursor."""
        before, self.server = self.connections, server
        if self.socket is not None:
            await self.socket.close()
        await self.until_it(lambda one: one.connections > before and one.socket is not None)


class Page:
    """The page of a trip in somebody's browser: signed in by the form, its socket kept open."""

    def __init__(self, who: dict[str, Any], server: LiveServer) -> None:
        self.who = who
        self.server = server
        self.statuses: Counter[int] = Counter()
        self.fragments: list[str] = []
        self.connections = 0
        self._cookies: dict[str, str] = {}
        self._changed = asyncio.Event()

    async def open(self, path: str, data: dict[str, str] | None = None) -> httpx.Response:
        """Request a page with the browser's cookies; they go to any server, as behind a proxy."""
        headers = {**HTTPS, "Cookie": self._cookie, "Referer": self.server.url.replace("http:", "https:")}
        async with httpx.AsyncClient(base_url=self.server.url, timeout=30) as client:
            answer = await client.request("POST" if data else "GET", path, data=data, headers=headers)
        self.statuses[answer.status_code] += 1
        for line in answer.headers.get_list("set-cookie"):
            self._cookies |= {name: one.value for name, one in http.cookies.SimpleCookie(line).items()}
        return answer

    async def read_token(self, path: str) -> str:
        """Open a page; return the CSRF token of its form."""
        form = await self.open(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
        assert token is not None, form.text
        return token[1]

    async def sign_in(self) -> None:
        token = await self.read_token("/accounts/login/")
        data = {"login": self.who["email"], "password": PASSWORD, "csrfmiddlewaretoken": token, "remember": "on"}
        answer = await self.open("/accounts/login/", data)
        assert answer.status_code == 302, answer.text[:500]

    @contextlib.asynccontextmanager
    async def watching(self, trip_id: int) -> AsyncIterator[None]:
        task = asyncio.create_task(self._keep(trip_id))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, text: str, connections: int = 0) -> None:
        """Return once a fragment that came after so many connections has the text in it."""
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while self.connections < connections or not any(text in one for one in self.fragments):
                self._changed.clear()
                await self._changed.wait()

    @property
    def cookie_names(self) -> set[str]:
        return set(self._cookies)

    @property
    def _cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self._cookies.items())

    async def _keep(self, trip_id: int) -> None:
        while True:
            with contextlib.suppress(OSError, websockets.InvalidHandshake, websockets.ConnectionClosed, TimeoutError):
                async with websockets.connect(
                    f"{self.server.ws_url}/ws/dashboard/trips/{trip_id}/",
                    origin=websockets.Origin(self.server.url.replace("http:", "https:")),
                    additional_headers={**HTTPS, "Cookie": self._cookie},
                ) as socket:
                    self.fragments = []
                    async for text in socket:
                        self.connections += not self.fragments
                        self.fragments.append(str(text))
                        self._changed.set()
            await asyncio.sleep(BACK_OFF_S)
