"""The socket of a page that watches a trip by a link, without an account."""

import datetime as dt
from typing import Any, ClassVar

import msgspec
from django.conf import settings
from django.utils import timezone
from msgspec import Struct
from msgspec.structs import replace

from drivers.positions import tracking
from realtime import events, groups
from realtime.auth import require_tls
from realtime.sockets import commands
from realtime.sockets.close_codes import CLOSE_NOT_PERMITTED
from realtime.sockets.pages import PageConsumer
from stepper import limits
from stepper.db.transactions import run_in_thread
from trips import shares
from trips.models import Trip
from trips.states import FINISHED

# Whether a link still works is asked again with every change of the trip, and this often: no event says that the
# account of who made it was deactivated.
_ASKED_AGAIN = dt.timedelta(minutes=1)


class Guest(Struct, frozen=True):
    """Somebody with a link: in the place of a signed-in user's `Identity`."""

    share_id: int
    trip_id: int
    language: str
    expires_at: dt.datetime

    def renewed(self) -> "Guest | None":
        """Return the same for another minute, as long as the link works; None: it has ended."""
        return replace(self, expires_at=_next_time()) if shares.is_valid(self.share_id) else None


def _next_time() -> dt.datetime:
    return timezone.now() + _ASKED_AGAIN


def _identify(scope: dict[str, Any]) -> Guest:
    """Find the link of a socket's address.

    Raises:
        NotPermitted: https.required
        NotFound: share.ended
        TooManyRequests: rate.limited, more than SOCKETS_OPENED_PER_MIN of one link in this minute
    """
    require_tls(scope)
    wanted = scope["url_route"]["kwargs"]
    share = shares.share_by_token(wanted["token"])
    limits.spend("socket.open", f"share.{share.pk}", most=settings.SOCKETS_OPENED_PER_MIN)
    return Guest(share_id=share.pk, trip_id=share.trip_id, language=_language_of(scope), expires_at=_next_time())


def _language_of(scope: dict[str, Any]) -> str:
    wanted: str = scope["url_route"]["kwargs"]["language"]
    return wanted if wanted in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE


def _is_end(frame: str) -> bool:
    """Say whether an event is the end of the trip; one of a newer release that runs beside this one is not."""
    try:
        event = events.decode_frame(frame)
    except msgspec.ValidationError:
        return False
    return isinstance(event, events.SharedTripUpdated) and event.status in FINISHED


def _last_location(trip_id: int) -> events.SharedLocation | None:
    trip = Trip.objects.select_related("driver__position").filter(pk=trip_id).first()
    if trip is None:
        return None
    frame = commands.location_of(trip, commands.current_settings())
    return tracking.shared_location(frame, trip_id, trip.driver_since) if frame else None


class SharedTripPageConsumer(PageConsumer):
    """`/ws/shared/<language>/<token>/`: the trip's status and position; takes nothing but pings."""

    page: ClassVar[events.Page] = "shared"
    obeys = ()
    identity: Guest  # type: ignore[assignment]

    def subject(self) -> tuple[int, ...]:
        return (self.identity.trip_id,)

    async def identify(self) -> None:
        self.identity = await run_in_thread(_identify, self.scope)
        self._account = await self._counted.sign_in(-self.identity.share_id)

    async def prepare(self) -> None:
        await self._set({groups.shared_trip(self.identity.trip_id)})

    @property
    def user_id(self) -> None:
        return None

    @property
    def _language(self) -> str:
        """That of the page, also where its link has ended before it was known whose it is."""
        return _language_of(self.scope)

    async def forward(self, message: dict[str, Any]) -> None:
        """Draw a change; the last one says that the trip is over, which its link does not outlive."""
        if not _is_end(message["frame"]):
            await self.refresh_permissions()
        if not self._closing:
            await super().forward(message)

    async def show(self) -> None:
        await super().show()
        location = await run_in_thread(_last_location, self.identity.trip_id)
        if location is not None:
            await self._send_frame(location)

    async def refresh_permissions(self) -> None:
        """Close the socket where its link has ended; the page says why already, or is told here."""
        guest = await run_in_thread(self.identity.renewed)
        if guest is not None:
            self.identity = guest
        else:
            await self._refuse(shares.link_ended(), CLOSE_NOT_PERMITTED)
