"""The database part of a socket's commands and snapshots: each calls the same verb as the REST endpoint.

Everything here is synchronous and runs in a database thread.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import override
from msgspec import Struct, structs

from drivers import availability, working_time
from drivers.models import Driver
from drivers.positions import buffer, tracking
from realtime import events, groups
from realtime.auth import Identity, identify
from realtime.models import Event
from realtime.outbox import LEAST_KEPT, events_since, parse_cursor, reaches_back_to
from stepper import limits
from stepper.errors import DomainError, NotFound, NotPermitted
from stepper.models import Restore, ServiceSettings, User
from trips import accepting, access, cards, driving, messages, offers
from trips.models import Trip

# If more events than this were missed, a snapshot is quicker.
_RESUME_LIMIT = 1000


class Rights(Struct, frozen=True):
    """What a user's sockets may join now. `driver_id` None: the user is not a driver."""

    driver_id: int | None
    # Whether the driver is suspended.
    suspended: bool
    trip_ids: set[int]
    # Of `trip_ids`, those that the socket may see only because its user drives them.
    driven_ids: set[int]
    # Whether the user is staff who may see everybody's trips.
    sees_all: bool


def identify_and_count(scope: dict[str, Any]) -> Identity:
    """Identify the user who opens a socket, and count how often they do: opening one costs more than most commands.

    Raises:
        NotSignedIn, NotPermitted: as `identify`
        TooManyRequests: rate.limited, more than SOCKETS_OPENED_PER_MIN in this minute
    """
    identity = identify(scope)
    limits.spend("socket.open", identity.user.pk, most=settings.SOCKETS_OPENED_PER_MIN)
    return identity


def current_settings() -> ServiceSettings:
    return ServiceSettings.current()


def read_rights(user: User, watched: frozenset[int]) -> Rights:
    """Read the user's driver row, their unfinished trips, and which of `watched` they may still see."""
    own = access.own_unfinished(user)
    trip_ids = own.on_ids | own.driven_ids
    if others := watched - trip_ids:
        trip_ids |= _visible_among(user, others)
    sees_all = user.may_see_trips
    driven_ids = set() if sees_all else own.driven_ids - own.on_ids
    return Rights(own.driver_id, own.suspended, trip_ids, driven_ids, sees_all)


def _visible_among(user: User, trip_ids: Iterable[int]) -> set[int]:
    return set(access.visible_to(user).filter(pk__in=list(trip_ids)).order_by().values_list("pk", flat=True))


def require_trips(user: User, trip_ids: Iterable[int]) -> None:
    """Require that the user may see all of the trips. Raises NotFound (trip.not_found)."""
    wanted = set(trip_ids)
    if wanted - _visible_among(user, wanted):
        raise NotFound("trip.not_found", _("There is no such trip."))


def watch(user: User, trip_id: int) -> int | None:
    """Require that the user may see the trip; return the driver's id if they may only because they drive it, else None.

    Raises:
        NotFound: trip.not_found
    """
    found = access.visible_to(user).filter(pk=trip_id).order_by()
    row = found.values_list("organiser_id", "driver_id", "driver__user_id").first()
    if row is None:
        raise NotFound("trip.not_found", _("There is no such trip."))
    organiser_id, driver_id, driving_id = row
    return driver_id if driving_id == user.pk != organiser_id and not user.may_see_trips else None


def watch_as_staff(user: User, trip_id: int) -> None:
    """Require that the user is staff who may see all trips, and that there is this one.

    Raises:
        NotPermitted: auth.forbidden
        NotFound: trip.not_found
    """
    user.require_staff("trips.view_trip")
    require_trips(user, [trip_id])


def look_at_driver(user: User, driver_id: int) -> None:
    """Require that the user is staff who may see drivers, and that there is this one.

    Raises:
        NotPermitted: auth.forbidden
        NotFound: driver.not_found
    """
    user.require_staff("drivers.view_driver")
    if not Driver.objects.filter(pk=driver_id).exists():
        raise NotFound("driver.not_found", _("There is no such driver."))


def subscribe(user: User, trip_ids: Iterable[int]) -> None:
    """Do `require_trips` for a command. Raises TooManyRequests (rate.limited), NotFound (trip.not_found)."""
    _spend(user.pk, "trip.subscribe")
    require_trips(user, trip_ids)


def resume(user: User, cursor: str, joined: list[str]) -> list[Event] | None:
    """Do `missed_events` for a command. Raises TooManyRequests (rate.limited)."""
    _spend(user.pk, "resume")
    return missed_events(user, cursor, joined)


def _spend(user_id: int, command: str) -> None:
    """Count a costly command for all sockets of the user in all processes."""
    limits.spend(f"socket.{command}", user_id, most=settings.SOCKET_COMMANDS_PER_MIN)


def snapshot(user: User, driver_id: int | None, trip_ids: Iterable[int]) -> list[events.Frame]:
    """List open offers with their deadlines, the best first, then each trip as it stands with its last position."""
    frames: list[events.Frame] = []
    if driver_id is not None:
        frames += offers.open_cards(driver_id)
    return frames + trip_snapshots(user, trip_ids)


def trip_snapshots(user: User, trip_ids: Iterable[int]) -> list[events.Frame]:
    wanted = list(trip_ids)
    if not wanted:
        return []
    # The same statement checks that the user may see them: a right may have ended since the last permissions refresh.
    seen = access.visible_to(user).for_page().select_related("driver__position")
    trips = list(seen.filter(pk__in=wanted).order_by("pk"))
    for trip in trips:
        access.log_look(user, trip)
    settings = ServiceSettings.current() if any(trip.driver_id for trip in trips) else None
    return [cards.snapshot(trip, location_of(trip, settings) if settings else None) for trip in trips]


def last_location(user: User, trip_id: int) -> events.DriverLocationUpdated | None:
    """Return the last position of the trip's driver as this user gets it; None: there is none to be shown."""
    trip = access.visible_to(user).select_related("driver__position").filter(pk=trip_id).first()
    return location_of(trip, ServiceSettings.current()) if trip else None


def location_of(trip: Trip, settings: ServiceSettings) -> events.DriverLocationUpdated | None:
    """Return the position that was read with the trip, as its watchers get it."""
    return tracking.location_for_watchers(trip, getattr(trip.driver, "position", None), settings)


def missed_events(user: User, cursor: str, joined: list[str]) -> list[Event] | None:
    """List what was published for the groups since the cursor; None: too old or too much, a snapshot is due.

    Of a trip that the user may see only because they drive it, the list begins when they got the trip: earlier events
    were for another driver.
    """
    oldest = dt.timedelta(hours=ServiceSettings.current().event_log_hours)
    generation = Restore.current_generation()
    place = parse_cursor(cursor, oldest, generation)
    if place is None:
        return None
    # Events may have been kept for less until a moment ago.
    if parse_cursor(cursor, LEAST_KEPT, generation) is None and not reaches_back_to(place):
        return None
    rows = events_since(joined, place, _RESUME_LIMIT + 1)
    if len(rows) > _RESUME_LIMIT:
        return None
    since = {} if user.may_see_trips else _driving_since(user)
    rows = [row for row in rows if row.group not in since or row.created_at >= since[row.group]]
    # One event reached several of the socket's groups: the first row stands for all.
    return list({row.event_id: row for row in reversed(rows)}.values())[::-1]


def _driving_since(user: User) -> dict[str, dt.datetime]:
    """Return the groups of trips that the user may see only because they drive them -> when they got the trip."""
    driven = access.only_driven_by(user).filter(accepted_at__isnull=False)
    rows = driven.order_by().values_list("pk", "accepted_at")
    # The event of the assignment is written a moment after `accepted_at`, so it is included.
    return {groups.trip(pk): accepted_at for pk, accepted_at in rows if accepted_at is not None}


def run(command: events.Command, identity: Identity, driver_id: int | None) -> events.Ack | None:
    """Run a command as the signed-in user; all but messages are those of drivers. Raises DomainError."""
    with override(identity.language):
        if isinstance(command, events.MessageSend):
            return _send_message(command, identity.user)
        return _run(command, identity.user.pk, driver_id)


def _send_message(command: events.MessageSend, user: User) -> events.Ack:
    row = messages.send(command.trip_id, user, text=command.text, quick=command.quick, key=command.key or "")
    return events.Ack(ref=command.ref or "", trip_id=row.trip_id, message_id=row.pk)


def _run(command: events.Command, user_id: int, driver_id: int | None) -> events.Ack | None:
    if driver_id is None:
        raise NotPermitted("driver.not_a_driver", _("Only drivers can do this."))
    ref = command.ref or ""
    if not isinstance(command, events.LocationUpdate):
        working_time.record_activity(driver_id)
    match command:
        case events.OfferAccept():
            trip = accepting.accept(driver_id, command.offer_id, key=command.key or "")
            return events.Ack(ref=ref, trip_id=trip.pk, offer_id=command.offer_id, status=trip.status)
        case events.OfferDecline():
            offer = accepting.decline(driver_id, command.offer_id, command.reason, key=command.key or "")
            return events.Ack(ref=ref, trip_id=offer.trip_id, offer_id=offer.pk, status=offer.status)
        case events.LocationUpdate():
            return events.Ack(ref=ref, **structs.asdict(buffer.report(driver_id, command.points)))
        case events.AvailabilityUpdate():
            driver = availability.set_online(driver_id, command.availability == "available")
            return events.Ack(ref=ref, status=driver.availability)
        case events.StatusUpdate():
            trip = driving.update_status(
                driver_id,
                command.trip_id,
                status=command.status,
                note=command.note,
                lat=command.lat,
                lng=command.lng,
                delay_minutes=command.delay_minutes,
                delay_reason=command.delay_reason,
                stop=command.stop,
                code=command.code,
                key=command.key or "",
            )
            return events.Ack(ref=ref, trip_id=trip.pk, status=trip.status)
        case events.DriverSubscribe():
            _spend(user_id, "driver.subscribe")
            if command.filters is not None:
                availability.set_filters(driver_id, command.filters)
            return events.Ack(ref=ref)
        case _:
            raise DomainError("message.invalid", _("This message is not for this address."))
