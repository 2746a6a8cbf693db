"""The socket of the operations room: the map of what the viewer looks at, once a second (trips.room)."""

from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _

from realtime import events, groups
from realtime.sockets.pages import PageConsumer
from stepper.db.transactions import run_in_thread
from stepper.errors import NotPermitted
from stepper.models import User
from trips.room.live import room
from trips.room.view import viewport

PERMISSIONS = ("trips.view_trip", "drivers.view_driver")


def _may_enter(user: User) -> bool:
    return user.may_act_as_staff and user.has_perms(PERMISSIONS)


class OpsPageConsumer(PageConsumer):
    """`/ws/dashboard/ops/`. It is not in the group of all staff, which gets every fix of every driver."""

    page: ClassVar[events.Page] = "ops"
    obeys = (events.OpsView,)

    def subject(self) -> tuple[int, ...]:
        return (self.identity.user.pk,)

    async def prepare(self) -> None:
        if not await run_in_thread(_may_enter, self.identity.user):
            room.leave(self)
            raise NotPermitted("auth.forbidden", _("Only staff can do this."))
        await self._set({groups.user(self.identity.user.pk)})

    async def show(self) -> None:
        await super().show()
        room.enter(self)

    async def _end(self) -> None:
        room.leave(self)
        await super()._end()

    def deliver(self, text: str) -> bool:
        """Write a frame of the map without waiting; False: the client does not read, or is not greeted yet."""
        return self._is_open and not self._closing and self._writer.write_now(text)

    def position_now(self, message: dict[str, Any]) -> bool:
        """Ignore a position: the map has its own frames."""
        return True

    async def position_relayed(self, message: dict[str, Any]) -> None:
        """Ignore a position that had to wait."""

    async def obey(self, command: events.Command) -> None:
        if not isinstance(command, events.OpsView):
            await super().obey(command)
            return
        room.look(self, viewport(command))
        if command.ref is not None:
            await self._send_frame(events.Ack(ref=command.ref))
