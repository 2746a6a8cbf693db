"""The sockets of the dashboards' pages: the groups each joins, and HTML fragments of changed regions."""

from collections import deque
from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
from django.utils.translation import gettext_lazy as _

from drivers.earnings import page as earnings_page
from realtime import events, groups, page_updates
from realtime.drawings import change_of
from realtime.outbox import publisher
from realtime.sockets import commands
from realtime.sockets.base import SocketConsumer
from realtime.sockets.forwarding import ASSIGNED_EVENT, NO_TRIPS
from stepper.db.transactions import run_in_thread
from stepper.errors import NotPermitted

# Number of last changes remembered: several events of one change draw the same regions, so they are drawn once.
_DRAWN = 16


class PageConsumer(SocketConsumer):
    """A dashboard page: fragments drawn once per page, language and change; a snapshot after every connect."""

    page: ClassVar[events.Page]
    # The commands of drivers that its scripts send.
    obeys: ClassVar[tuple[type[events.Command], ...]] = (events.LocationUpdate, events.AvailabilityUpdate)

    def __init__(self) -> None:
        super().__init__()
        self._drawn: deque[tuple[str | int, ...]] = deque(maxlen=_DRAWN)

    def subject(self) -> tuple[int, ...]:
        """Return the ids of what the page shows; fragments are shared under these, the page and the language."""
        raise NotImplementedError

    async def show(self) -> None:
        await self._send_html(await page_updates.snapshot(self.page, self.subject(), self.identity.language))

    async def forward(self, message: dict[str, Any]) -> None:
        try:
            event = events.decode_frame(message["frame"])
        except msgspec.ValidationError:
            # An event of a newer release that runs beside this one: what it changes is unknown, so draw everything.
            await self.show()
            return
        if not isinstance(event, events.DURABLE):
            return
        change = change_of(event)
        if self.page not in event.pages or change in self._drawn:
            return
        self._drawn.append(change)
        language = self.identity.language
        await self._send_html(await page_updates.change(self.page, self.subject(), language=language, event=event))
        self._note_delivery(message)

    async def _send_html(self, html: str) -> None:
        if html:
            await self.send_text(html)

    async def refresh_permissions(self) -> None:
        """Refresh the permissions; if the socket's groups or rights changed, draw everything."""
        groups_before, rights_before = set(self.joined), self.rights()
        await super().refresh_permissions()
        if not self._closing and (self.joined != groups_before or self.rights() != rights_before):
            await self.show()

    def rights(self) -> tuple[object, ...]:
        """Return those rights of the user on which the page depends."""
        user = self.identity.user
        return user.may_act_as_staff, user.may_see_trips, user.may_steer_trips

    async def redraw(self) -> None:
        await self.show()

    async def obey(self, command: events.Command) -> None:
        if isinstance(command, events.Ping):
            await self._send_frame(events.Heartbeat(cursor=publisher.cursor, ref=command.ref))
        elif isinstance(command, self.obeys):
            await super().obey(command)
        else:
            await self._send_error("message.unknown_type", _("A page does not send this."), command.ref)

    async def _set(self, wanted: Iterable[str]) -> None:
        wanted = set(wanted)
        await self.leave(*(self.joined - wanted))
        await self.join(*sorted(wanted - self.joined))


class DriverPageConsumer(PageConsumer):
    """`/ws/dashboard/driver/`."""

    page: ClassVar[events.Page] = "driver"
    # Steps and answers that waited for the network; others are posted.
    obeys = (*PageConsumer.obeys, events.OfferAccept, events.OfferDecline, events.StatusUpdate)

    def subject(self) -> tuple[int, ...]:
        if self.driver_id is None:
            raise ValueError("asked before the driver was known")
        return (self.driver_id,)

    async def prepare(self) -> None:
        rights = await run_in_thread(commands.read_rights, self.identity.user, frozenset())
        self.drive_as(rights.driver_id, suspended=rights.suspended)
        if self.driver_id is None:
            raise NotPermitted("driver.not_a_driver", _("This page is for drivers."))
        await self._set({groups.user(self.identity.user.pk), groups.driver(self.driver_id)})


class EarningsPageConsumer(DriverPageConsumer):
    """`/ws/dashboard/earnings/<kind>/<period>/`, as in the address of the page."""

    page = "earnings"

    def subject(self) -> tuple[int, ...]:
        return (*super().subject(), *self._period())

    async def prepare(self) -> None:
        self._period()
        await super().prepare()

    def _period(self) -> tuple[int, int]:
        """Return the ids of the period in the address. Raises InvalidInput: there is no such one."""
        return earnings_page.period_ids(**self.scope["url_route"]["kwargs"])


class TripPageConsumer(PageConsumer):
    """`/ws/dashboard/trips/<id>/`."""

    page: ClassVar[events.Page] = "trip"

    def subject(self) -> tuple[int, ...]:
        return (self.trip_id, self.identity.user.pk)

    @property
    def trip_id(self) -> int:
        return int(self.scope["url_route"]["kwargs"]["trip_id"])

    async def prepare(self) -> None:
        group = groups.trip(self.trip_id)
        driver_id = await run_in_thread(commands.watch, self.identity.user, self.trip_id)
        self._driven = {group: driver_id} if driver_id is not None else NO_TRIPS
        await self._set({groups.user(self.identity.user.pk), group})

    async def show(self) -> None:
        await super().show()
        await self._show_location()

    async def forward(self, message: dict[str, Any]) -> None:
        await super().forward(message)
        if message["event"] == ASSIGNED_EVENT:
            # Show the driver's marker immediately, not only with the next fix.
            await self._show_location()

    async def _show_location(self) -> None:
        location = await run_in_thread(commands.last_location, self.identity.user, self.trip_id)
        if location is not None:
            await self._send_frame(location)


class TripListPageConsumer(PageConsumer):
    """`/ws/dashboard/trips/`: the user's own unfinished trips."""

    page = "trips"

    def subject(self) -> tuple[int, ...]:
        return (self.identity.user.pk,)

    async def prepare(self) -> None:
        rights = await run_in_thread(commands.read_rights, self.identity.user, frozenset())
        await self._set({groups.user(self.identity.user.pk)} | {groups.trip(pk) for pk in rights.trip_ids})

    def position_now(self, message: dict[str, Any]) -> bool:
        """Ignore a position: a list has no map."""
        return True

    async def position_relayed(self, message: dict[str, Any]) -> None:
        """Ignore a position that had to wait."""


class ApplicationPageConsumer(PageConsumer):
    """`/ws/dashboard/apply/`: the user's application to drive, and their documents."""

    page = "apply"

    def subject(self) -> tuple[int, ...]:
        return (self.identity.user.pk,)

    async def prepare(self) -> None:
        await self._set({groups.user(self.identity.user.pk)})
