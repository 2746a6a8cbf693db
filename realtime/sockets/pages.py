from collections.abc import Iterable
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _

from realtime import events, groups
from realtime.fragments import fragment
from realtime.outbox import publisher
from realtime.sockets import commands
from realtime.sockets.base import SocketConsumer
from realtime.sockets.forwarding import _ASSIGNED, _NO_TRIPS
from stepper.db.transactions import run_in_thread
from stepper.errors import NotPermitted


class PageConsumer(SocketConsumer):
    """A dashboard page: fragments rendered once per audience and event, a full snapshot after any reconnect."""

    audience: ClassVar[str]

    def subject(self) -> tuple[int, ...]:
        """What the page is about; with audience and language the key under which fragments are shared."""
        raise NotImplementedError

    async def show(self) -> None:
        await self._send_html(
            await fragment(self.audience, self.subject(), language=self.identity.language, logged=None)
        )

    async def forward(self, message: dict[str, Any]) -> None:
        await self._send_html(
            await fragment(
                self.audience, self.subject(), language=self.identity.language, logged=(message["id"], message["frame"])
            )
        )

    async def _send_html(self, html: str) -> None:
        if html:
            await self.send_text(html)

    async def recheck(self) -> None:
        await super().recheck()
        if not self._closing:
            await self.show()

    async def obey(self, command: events.Command) -> None:
        if isinstance(command, events.Ping):
            await self._send_frame(events.Heartbeat(cursor=publisher.cursor, ref=command.ref))
        elif isinstance(command, (events.LocationUpdate, events.AvailabilityUpdate)):
            await super().obey(command)
        else:
            await self._send_error("message.unknown_type", _("A page does not send this."), command.ref)

    async def _set(self, wanted: Iterable[str]) -> None:
        wanted = set(wanted)
        await self.leave(*(self.joined - wanted))
        await self.join(*sorted(wanted - self.joined))


class DriverPageConsumer(PageConsumer):
    """`/ws/dashboard/driver/`."""

    audience = "driver"

    def subject(self) -> tuple[int, ...]:
        if self.driver_id is None:
            raise ValueError("asked before the driver was known")
        return (self.driver_id,)

    async def prepare(self) -> None:
        self.drive_as((await run_in_thread(commands.membership, self.identity.user, frozenset())).driver_id)
        if self.driver_id is None:
            raise NotPermitted("driver.not_a_driver", _("This page is for drivers."))
        await self._set({groups.user(self.identity.user.pk), groups.driver(self.driver_id)})


class TripPageConsumer(PageConsumer):
    """`/ws/dashboard/trips/<id>/`."""

    audience = "trip"

    def subject(self) -> tuple[int, ...]:
        return (self.trip_id, self.identity.user.pk)

    @property
    def trip_id(self) -> int:
        return int(self.scope["url_route"]["kwargs"]["trip_id"])

    async def prepare(self) -> None:
        group = groups.trip(self.trip_id)
        driver_id = await run_in_thread(commands.watch, self.identity.user, self.trip_id)
        self._driven = {group: driver_id} if driver_id is not None else _NO_TRIPS
        await self._set({groups.user(self.identity.user.pk), group})

    async def show(self) -> None:
        await super().show()
        await self._show_location()

    async def forward(self, message: dict[str, Any]) -> None:
        await super().forward(message)
        if message["event"] == _ASSIGNED:
            # The marker is there at once, not with the driver's next fix.
            await self._show_location()

    async def _show_location(self) -> None:
        location = await run_in_thread(commands.last_location, self.identity.user, self.trip_id)
        if location is not None:
            await self._send_frame(location)


class TripListPageConsumer(PageConsumer):
    """`/ws/dashboard/trips/`: the user's own unfinished trips."""

    audience = "trips"

    def subject(self) -> tuple[int, ...]:
        return (self.identity.user.pk,)

    async def prepare(self) -> None:
        member = await run_in_thread(commands.membership, self.identity.user, frozenset())
        await self._set({groups.user(self.identity.user.pk)} | {groups.trip(pk) for pk in member.trip_ids})

    def position_now(self, message: dict[str, Any]) -> bool:
        """A list has no map."""
        return True

    async def position_relayed(self, message: dict[str, Any]) -> None:
        """As above, where it had to wait."""
