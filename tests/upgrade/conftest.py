"""The database that the last release made, with its code unpacked; and a stage for an upgrade of it."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.people import online
from tests.live import LiveServer
from tests.upgrade.installation import Installation, unpack_release
from tests.upgrade.people import Client, Page


class Upgrade:
    """An upgrade of `installation` under its people; `old` serves them, `new` does not run yet."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.old = installation.old_server()
        self.new = installation.new_server()
        found = installation.people
        self.clients = {name: Client(who, self.old) for name, who in found.items() if "cursor" not in who}
        # Left before the upgrade, with a cursor.
        self.returning = {name: Client(who, self.new) for name, who in found.items() if "cursor" in who}
        self.page = Page(found["road.passenger"], self.old)
        # Signs in at the new server.
        self.new_page = Page(found["old.passenger"], self.new)
        self._since = 0
        # Trips and who is on them, each from the row of the outbox on from which they must have been told everything.
        self._on_trips: list[tuple[Client, int, int]] = []

    def __getitem__(self, name: str) -> Client:
        return self.clients[name]

    @contextlib.asynccontextmanager
    async def everybody_online(self) -> AsyncIterator[None]:
        self.old.start()
        async with online(*self.clients.values()):
            self._since = self._last_row()
            yield

    @contextlib.asynccontextmanager
    async def returned(self) -> AsyncIterator[None]:
        """Those who left before the upgrade are back, on the new server."""
        async with online(*self.returning.values()):
            yield

    def send_everybody_to(self, server: LiveServer) -> None:
        """Have each connect there the next time."""
        for client in self.clients.values():
            client.server = server
        self.page.server = server

    def expect(self, trip_id: int, *people: Client) -> None:
        """From now on these must be told everything of the trip."""
        self._on_trips += [(one, trip_id, self._last_row()) for one in people]

    def list_lost(self) -> list[str]:
        """Return what somebody who was online was not told: events of theirs by id, offers by number."""
        rows = self.installation.outbox()
        lost, told = [], 0
        for name, client in self.clients.items():
            groups = dict.fromkeys(client.groups | ({"staff"} if name == "staff" else set()), self._since)
            groups |= {f"trip.{trip_id}": since for one, trip_id, since in self._on_trips if one is client}
            expected = [row for row in rows if row.id > groups.get(row.group, row.id)]
            told += len(expected)
            # A snapshot may show an offer before its event arrives, which is then not sent again.
            cards = {frame["offer_id"] for frame in client.frames if frame["type"] == "trip.offer.created"}
            lost += [
                f"{name}: {row.type} {row.event_id}"
                for row in expected
                if row.event_id not in client.ids and row.type != "trip.offer.created"
            ]
            offers = self.installation.read(
                f"SELECT id FROM trips_offer WHERE driver_id = {client.who.get('driver_id', 0)}"
            )
            lost += [f"{name}: offer {number}" for (number,) in offers if number not in cards]
        assert told > len(self.clients), "the outbox holds nothing for them"
        return lost

    def list_failures(self) -> list[str]:
        """Return answers of 500 and more, and tracebacks in the servers' logs."""
        programs: list[Client | Page] = [*self.clients.values(), *self.returning.values(), self.page, self.new_page]
        failures = [f"{status} × {count}" for one in programs for status, count in one.statuses.items() if status > 499]
        return failures + [one.log_text() for one in (self.old, self.new) if "Traceback" in one.log_text()]

    def count_winners(self, trip_id: int) -> tuple[int, int]:
        """Return how often a trip was accepted: by its history, by its offers."""
        history = f"SELECT id FROM trips_triptransition WHERE trip_id = {trip_id} AND to_status = 'accepted'"
        offers = f"SELECT id FROM trips_offer WHERE trip_id = {trip_id} AND status = 'accepted'"
        return len(self.installation.read(history)), len(self.installation.read(offers))

    def _last_row(self) -> int:
        return int(self.installation.read("SELECT coalesce(max(id), 0) FROM realtime_event")[0][0])


@pytest.fixture
def upgrade(tmp_path: Path) -> Iterator[Upgrade]:
    tree, folder = tmp_path / "release", tmp_path / "data"
    tree.mkdir()
    folder.mkdir()
    unpack_release(tree)
    installation = Installation(tree, folder)
    upgrade = Upgrade(installation)
    try:
        yield upgrade
    finally:
        for server in (upgrade.old, upgrade.new):
            if server.process is not None:
                server.kill()
        installation.remove()
