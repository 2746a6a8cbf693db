"""The sockets of the operations room's pages of one trip and of one driver: for staff who may see them."""

from typing import ClassVar

from realtime import events, groups
from realtime.sockets import commands
from realtime.sockets.forwarding import NO_TRIPS
from realtime.sockets.pages import PageConsumer, TripPageConsumer
from stepper.db.transactions import run_in_thread


def _all_rights(page: PageConsumer) -> tuple[object, ...]:
    """Return all rights of a page's user: each of its actions needs one of its own."""
    user = page.identity.user
    return user.may_act_as_staff, frozenset(user.get_all_permissions())


class OpsTripPageConsumer(TripPageConsumer):
    """`/ws/ops/trips/<id>/`; takes nothing but pings."""

    page: ClassVar[events.Page] = "ops_trip"
    obeys = ()

    def rights(self) -> tuple[object, ...]:
        return _all_rights(self)

    async def prepare(self) -> None:
        await run_in_thread(commands.watch_as_staff, self.identity.user, self.trip_id)
        self._driven = NO_TRIPS
        mine = groups.user(self.identity.user.pk)
        await self._set({mine, groups.trip(self.trip_id), groups.trip_for_staff(self.trip_id)})


class OpsDriverPageConsumer(PageConsumer):
    """`/ws/ops/drivers/<id>/`; takes nothing but pings."""

    page: ClassVar[events.Page] = "ops_driver"
    obeys = ()

    def subject(self) -> tuple[int, ...]:
        return (self._shown_id, self.identity.user.pk)

    def rights(self) -> tuple[object, ...]:
        return _all_rights(self)

    @property
    def _shown_id(self) -> int:
        return int(self.scope["url_route"]["kwargs"]["driver_id"])

    async def prepare(self) -> None:
        await run_in_thread(commands.look_at_driver, self.identity.user, self._shown_id)
        await self._set({groups.user(self.identity.user.pk), groups.driver(self._shown_id)})
