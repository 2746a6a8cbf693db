"""Messages between the organiser of a trip and its driver: who reads and writes them, until when; reporting, hiding.

Whether somebody may read is asked of the trip each time: a former driver has no part in it any more, and who gets the
trip after them has a conversation of their own. Events say that something was written, never what.
"""

import datetime as dt
import uuid
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple, cast

from django.db.models import Count, F, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drivers.models import Driver
from realtime import events, groups
from realtime.delivery import notifications
from realtime.outbox import publish
from stepper import limits
from stepper.db.clock import database_now
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict, InvalidFields, NotFound, Text
from stepper.models import ServiceSettings, User
from stepper.texts import clean_text

from . import access
from .models import TEXT_LENGTH, Trip, TripMessage
from .quick_replies import OFFERED
from .states import ASSIGNED, Role

# Of a conversation, the newest are shown.
SHOWN = 200
# Whose notification of one is unread is not notified of further ones that follow so soon.
NOTIFIED_AGAIN_AFTER = dt.timedelta(minutes=2)
SEE, HIDE = "trips.view_tripmessage", "trips.change_tripmessage"


class Conversation(NamedTuple):
    """The messages of a trip that somebody may read, the oldest first."""

    trip: Trip
    # In what capacity; staff read what every driver of the trip wrote.
    role: Role
    messages: list[TripMessage]
    # Whether the reader may write now, and until when; None: until some time after the trip ends.
    is_open: bool
    closes_at: dt.datetime | None
    # How many of the other side the reader has not read.
    unread: int


# Rights


def side_of(user: User, trip: Trip) -> Role | None:
    """Return in what capacity the user writes and reads: as its organiser or its present driver; None: not at all."""
    if trip.organiser_id == user.pk:
        return Role.ORGANISER
    return Role.DRIVER if access.drives(user, trip) else None


def closes_at(trip: Trip, settings: ServiceSettings) -> dt.datetime | None:
    """Return until when messages can be written; None: the trip has not ended."""
    ended_at = trip.completed_at or trip.cancelled_at
    return ended_at + dt.timedelta(hours=settings.messages_open_h) if ended_at else None


def is_open(trip: Trip, settings: ServiceSettings, now: dt.datetime) -> bool:
    """Say whether messages can be written: the trip has a driver, or had one when it ended, not long ago.

    Nobody writes to a closed account, nor from one. Reads the trip's organiser and its driver's account.
    """
    if trip.driver is None or not (trip.organiser.is_active and trip.driver.user.is_active):
        return False
    until = closes_at(trip, settings)
    return trip.status in ASSIGNED or (until is not None and now < until)


def _trip_of(user: User, trip_id: int, trips: QuerySet[Trip]) -> tuple[Trip, Role]:
    """Return the trip and in what capacity the user has a part in it. Raises NotFound (trip.not_found)."""
    trip = trips.filter(pk=trip_id).first()
    role = side_of(user, trip) if trip is not None else None
    if trip is None or role is None:
        raise NotFound("trip.not_found", _("There is no such trip."))
    return trip, role


def _between(trip: Trip) -> QuerySet[TripMessage]:
    """Return the messages of the trip and its present driver."""
    return TripMessage.objects.filter(trip=trip, driver=trip.driver_id)


def read_conversation(user: User, trip_id: int) -> Conversation:
    """Return the newest messages of the trip's conversation. Nothing is marked as read.

    Raises:
        NotFound: trip.not_found, for all but the organiser, the present driver and staff who may see messages
    """
    trip = Trip.objects.for_page().filter(pk=trip_id).first()
    role = side_of(user, trip) if trip is not None else None
    if trip is None or (role is None and not (user.is_staff and user.has_perm(SEE))):
        raise NotFound("trip.not_found", _("There is no such trip."))
    if role is None:
        access.log_look(user, trip, TripMessage._meta.label_lower)
    settings = ServiceSettings.current()
    rows = _between(trip) if role else TripMessage.objects.filter(trip=trip)
    newest = list(rows.select_related("sender").order_by("-pk")[:SHOWN])[::-1]
    return Conversation(
        trip=trip,
        role=role or Role.STAFF,
        messages=newest,
        is_open=role is not None and is_open(trip, settings, database_now()),
        closes_at=closes_at(trip, settings),
        unread=sum(row.read_at is None and row.sender_id != user.pk for row in newest) if role else 0,
    )


def count_unread(user: User, trips: Iterable[Trip]) -> dict[int, int]:
    """Return how many messages the user has not read, of those of the trips in which there are any. One query."""
    mine = [trip.pk for trip in trips if trip.driver_id is not None and side_of(user, trip)]
    if not mine:
        return {}
    unread = TripMessage.objects.filter(trip__in=mine, driver=F("trip__driver"), read_at__isnull=True)
    rows = unread.exclude(sender=user).order_by().values("trip").annotate(number=Count("pk"))
    return {row["trip"]: row["number"] for row in rows}


def set_unread(user: User, trips: Iterable[Trip]) -> None:
    """Set `unread_messages` of the trips to what the user has not read. One query."""
    shown = list(trips)
    unread = count_unread(user, shown)
    for trip in shown:
        trip.unread_messages = unread.get(trip.pk, 0)


# Writing


def send(trip_id: int, user: User, *, text: str = "", quick: str = "", key: str = "") -> TripMessage:
    """Write a message, in words or by a quick reply, to the other side of the trip.

    `key`: made by the client; the same message again with the same key is the one that was sent. "": none.

    Raises:
        InvalidInput: input.invalid (text, quick)
        NotFound: trip.not_found, for all but the organiser and the present driver
        Conflict: message.closed, command.key_reused
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "message", "changes_per_min")
    return _send(trip_id, user, clean_text(text), quick, key or uuid.uuid4().hex)


@in_transaction
def _send(trip_id: int, user: User, text: str, quick: str, key: str) -> TripMessage:
    """Store the message with the trip locked, so that it goes to whoever drives it now."""
    trip, role = _trip_of(user, trip_id, Trip.objects.for_page().locked())
    _check_words(role, text, quick)
    sent = TripMessage.objects.filter(trip=trip, sender=user, key=key).first()
    if sent is not None:
        if (sent.text, sent.quick) != (text, quick):
            raise Conflict("command.key_reused", _("This key was used for something else. Send a new one."))
        return sent
    now = database_now()
    if trip.driver is None or not is_open(trip, ServiceSettings.current(), now) or not _are_active(trip, trip.driver):
        raise Conflict("message.closed", _("Messages of this trip are closed."))
    row = TripMessage.objects.create(
        trip=trip, driver=trip.driver, sender=user, role=role, text=text, quick=quick, key=key, sent_at=now
    )
    publish(
        events.TripMessageCreated(trip_id=trip.pk, message_id=row.pk, by=_side(role)),
        *_groups_of(trip, trip.driver.user_id),
    )
    _notify_other(trip, trip.driver, role, now)
    return row


def _are_active(trip: Trip, driver: Driver) -> bool:
    """Read again whether both accounts are open: one that was erased while this waited for the trip stays empty."""
    two = {trip.organiser_id, driver.user_id}
    return User.objects.filter(pk__in=two, is_active=True).count() == len(two)


def _check_words(role: Role, text: str, quick: str) -> None:
    if quick and (text or quick not in OFFERED[role]):
        reasons: dict[str, list[Text]] = {"quick": [_("Choose one of the quick replies, and no text with it.")]}
    elif not quick and not text:
        reasons = {"text": [_("Write something.")]}
    elif len(text) > TEXT_LENGTH:
        reasons = {"text": [_("At most %(limit)s characters.") % {"limit": TEXT_LENGTH}]}
    else:
        return
    raise InvalidFields(reasons)


def page_of(trip: Trip) -> str:
    """Return the address of the page of a trip's messages."""
    return reverse("trips:messages", args=[trip.pk])


def _notify_other(trip: Trip, driver: Driver, role: Role, now: dt.datetime) -> None:
    """Notify the other side, without the text: a push is shown on a locked screen."""
    from_driver = role == Role.DRIVER
    writer, reader = (driver.user, trip.organiser) if from_driver else (trip.organiser, driver.user)
    # Not for one of the driver before, whose conversation it was.
    since = max(now - NOTIFIED_AGAIN_AFTER, trip.driver_since)
    if notifications.is_unread_behind(reader.pk, page_of(trip), since=since):
        return
    notifications.notify(
        reader,
        gettext_lazy("New message"),
        message=f"{writer.short_name} · {trip.title}",
        audience="passenger" if from_driver else "driver",
        priority="high",
        category="chat",
        action_url=page_of(trip),
    )


def _side(role: str) -> events.Side:
    return cast(events.Side, str(role))


def _groups_of(trip: Trip, driver_user_id: int) -> tuple[str, ...]:
    """Name the groups of the two, as others watch the trip as well, and of staff who look at it."""
    return groups.user(trip.organiser_id), groups.user(driver_user_id), groups.trip_for_staff(trip.pk)


# Reading


def mark_read(trip_id: int, user: User, up_to: int) -> int:
    """Mark what the other side wrote as read, up to the message of this id; return how many messages that were.

    The notifications of them count as read, too. Repeating it changes nothing.

    Raises:
        NotFound: trip.not_found, for all but the organiser and the present driver
        TooManyRequests: more than `light_per_min`
    """
    limits.count_call_of(user, "message.read", "light_per_min")
    return _mark_read(trip_id, user, up_to)


@in_transaction
def _mark_read(trip_id: int, user: User, up_to: int) -> int:
    trip, role = _trip_of(user, trip_id, Trip.objects.for_page())
    if trip.driver is None:
        return 0
    unread = _between(trip).filter(pk__lte=up_to, read_at__isnull=True).exclude(sender=user)
    newest = unread.order_by("-pk").values_list("pk", flat=True).first()
    changed = unread.update(read_at=database_now())
    if changed and newest is not None:
        publish(
            events.TripMessageRead(trip_id=trip.pk, message_id=newest, by=_side(role)),
            *_groups_of(trip, trip.driver.user_id),
        )
        notifications.mark_read_behind(user.pk, page_of(trip))
    return changed


# Reporting and hiding


def report(trip_id: int, message_id: int, user: User) -> TripMessage:
    """Report a message of the other side to staff. Repeating it changes nothing.

    Raises:
        NotFound: trip.not_found, message.not_found
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "message.report", "changes_per_min")
    return _report(trip_id, message_id, user)


@in_transaction
def _report(trip_id: int, message_id: int, user: User) -> TripMessage:
    trip, _role = _trip_of(user, trip_id, Trip.objects.for_page())
    row = _between(trip).exclude(sender=user).filter(pk=message_id).select_for_update(no_key=True).first()
    if row is None:
        raise NotFound("message.not_found", _("There is no such message."))
    if row.reported_at is None:
        row.reported_at = database_now()
        row.save(update_fields=["reported_at"])
        address = reverse("admin:trips_tripmessage_change", args=[row.pk])
        notifications.notify_staff(HIDE, partial(_report_words, trip), address)
    return row


def _report_words(trip: Trip) -> tuple[str, str]:
    return _("Trip %(id)d: a message was reported") % {"id": trip.pk}, trip.title


def hide(message_id: int, staff: User) -> TripMessage:
    """Hide the text of a message from passenger and driver. Repeating it changes nothing.

    Raises:
        NotPermitted: auth.forbidden, NotFound: message.not_found
    """
    return _set_hidden(message_id, staff, hidden=True)


def show_again(message_id: int, staff: User) -> TripMessage:
    """Show a message again that was hidden. Raises as `hide`."""
    return _set_hidden(message_id, staff, hidden=False)


@in_transaction
def _set_hidden(message_id: int, staff: User, *, hidden: bool) -> TripMessage:
    staff.require_staff(HIDE)
    rows = TripMessage.objects.select_for_update(of=("self",), no_key=True)
    row = rows.select_related("trip", "driver").filter(pk=message_id).first()
    if row is None:
        raise NotFound("message.not_found", _("There is no such message."))
    if hidden != (row.hidden_at is not None):
        row.hidden_at, row.hidden_by = (database_now(), staff) if hidden else (None, None)
        row.save(update_fields=["hidden_at", "hidden_by"])
        publish(
            events.TripMessageHidden(trip_id=row.trip_id, message_id=row.pk, hidden=hidden),
            *_groups_of(row.trip, row.driver.user_id),
        )
    return row
