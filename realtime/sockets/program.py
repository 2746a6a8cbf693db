"""The socket of programs: JSON frames by the contract of realtime.events."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from realtime import events, groups
from realtime.outbox import PERMISSIONS_REFRESH, publisher
from realtime.sockets import commands
from realtime.sockets.base import SocketConsumer
from stepper.db.transactions import run_in_thread

# Events that a driver's program does not get after `driver.unsubscribe`.
_OFFERS = frozenset({"trip.offer.created", "trip.offer.expired"})


class ProgramConsumer(SocketConsumer):
    """`/ws/`: JSON for programs, by the contract of realtime.events."""

    def __init__(self) -> None:
        super().__init__()
        self._offers_wanted = True
        # Trips subscribed by trip.subscribe, in addition to the user's own unfinished ones.
        self._watched: set[int] = set()
        self._left: set[int] = set()

    async def prepare(self) -> None:
        rights = await run_in_thread(commands.read_rights, self.identity.user, frozenset(self._watched))
        self.drive_as(rights.driver_id, suspended=rights.suspended)
        self._watched &= rights.trip_ids
        self._left &= rights.trip_ids
        self._driven = {groups.trip(pk): rights.driver_id for pk in rights.driven_ids if rights.driver_id is not None}
        wanted = {groups.user(self.identity.user.pk)}
        wanted |= {groups.trip(pk) for pk in rights.trip_ids - self._left}
        if rights.driver_id is not None:
            # Also if offers are not wanted, because `driver.updated` arrives by this group.
            wanted.add(groups.driver(rights.driver_id))
        if rights.sees_all:
            wanted.add(groups.STAFF)
        await self.leave(*(self.joined - wanted))
        await self.join(*sorted(wanted - self.joined))

    async def show(self) -> None:
        await self._show(self.driver_id if self._offers_wanted else None, self._trip_ids())

    async def _show_offers(self) -> None:
        await self._show(self.driver_id, [])

    async def _show(self, offers_of: int | None, trip_ids: list[int]) -> None:
        for frame in await run_in_thread(commands.snapshot, self.identity.user, offers_of, trip_ids):
            if isinstance(frame, events.OfferCreated):
                self.remember_sent(frame.id)
            await self._send_frame(frame)

    def is_new(self, message: dict[str, Any]) -> bool:
        return self._is_wanted(message["event"]) and super().is_new(message)

    def _is_wanted(self, event: str) -> bool:
        return self._offers_wanted or event not in _OFFERS

    def _trip_ids(self) -> list[int]:
        return sorted(int(name.removeprefix("trip.")) for name in self.joined if name.startswith("trip."))

    async def refresh_permissions(self) -> None:
        before = set(self._trip_ids())
        await super().refresh_permissions()
        joined = sorted(set(self._trip_ids()) - before)
        if joined and not self._closing:
            for frame in await run_in_thread(commands.trip_snapshots, self.identity.user, joined):
                await self._send_frame(frame)

    async def forward(self, message: dict[str, Any]) -> None:
        await self.send_text(events.with_cursor(message["frame"], publisher.cursor))
        self._note_delivery(message)

    def forward_now(self, message: dict[str, Any]) -> bool:
        if message["type"] != "event.logged" or message["event"] == PERMISSIONS_REFRESH:
            return False
        if self._may_have_lost_trip(message):
            return False
        if not self.is_new(message):
            return True
        if self._send_now(events.with_cursor(message["frame"], publisher.cursor)):
            self._note_delivery(message)
            return True
        self.forget_sent()
        return False

    async def layer_resync(self, message: dict[str, Any]) -> None:
        await self._send_error("resync.required", _("Something may have been missed; here is the state as it stands."))
        await super().layer_resync(message)

    async def obey(self, command: events.Command) -> None:
        match command:
            case events.Ping():
                await self._send_frame(events.Heartbeat(cursor=publisher.cursor, ref=command.ref))
            case events.Resume():
                await self._resume(command)
            case events.TripSubscribe():
                await self._subscribe(command)
            case events.TripUnsubscribe():
                async with self._changing_groups:
                    left = set(command.trip_ids)
                    self._watched -= left
                    # Remember only trips that `prepare` would join again: a client may name any number of others.
                    self._left |= left & set(self._trip_ids())
                    await self.leave(*(groups.trip(pk) for pk in left))
                await self._acknowledge(command)
            case events.DriverSubscribe():
                await super().obey(command)
                if not self._offers_wanted:
                    self._offers_wanted = True
                    await self._show_offers()
            case events.DriverUnsubscribe():
                self._offers_wanted = False
                await self._acknowledge(command)
            case _:
                await super().obey(command)

    async def _acknowledge(self, command: events.Command) -> None:
        if command.ref is not None:
            await self._send_frame(events.Ack(ref=command.ref))

    async def _subscribe(self, command: events.TripSubscribe) -> None:
        trip_ids = set(command.trip_ids)
        # Check and join under one lock: a refresh for a right lost meanwhile waits until both are done.
        async with self._changing_groups:
            await run_in_thread(commands.subscribe, self.identity.user, trip_ids)
            self._watched |= trip_ids
            self._left -= trip_ids
            await self.join(*(groups.trip(pk) for pk in sorted(trip_ids)))
        await self._acknowledge(command)
        for frame in await run_in_thread(commands.trip_snapshots, self.identity.user, sorted(trip_ids)):
            await self._send_frame(frame)

    async def _resume(self, command: events.Resume) -> None:
        # New events wait in the mailbox, so that they follow the missed ones.
        self._is_open = False
        try:
            await self._catch_up(command)
        finally:
            self._go_on()

    async def _catch_up(self, command: events.Resume) -> None:
        rows = await run_in_thread(commands.resume, self.identity.user, command.cursor, sorted(self.joined))
        if rows is None:
            await self._send_error(
                "resync.required", _("That is too long ago; here is the state as it stands."), command.ref
            )
            await self.show()
            return
        for row in rows:
            # The socket may have lost its right to the event while the rows were read.
            if row.group in self.joined and self._is_wanted(row.type):
                self.remember_sent(row.event_id)
                await self.send_text(events.with_cursor(row.frame, publisher.cursor))
        await self._acknowledge(command)
