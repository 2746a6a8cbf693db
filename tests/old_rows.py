"""A row of any age of each table that the dispatcher prunes, and the settings that say how long it is kept."""

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.sessions.models import Session
from django.utils import timezone
from django_tasks_db.models import DBTaskResult, get_date_max

from drivers.models import (
    Availability,
    AvailabilityChange,
    Break,
    Cause,
    DocumentStatus,
    DriverApplication,
    TrailPoint,
)
from realtime.models import Event, Notification, PushSubscription, ServerBeat
from stepper.models import AccountSession, AddressChange, AddressCode, DayCount, PhoneCode, SecurityEvent
from stepper.tasks.queue import ordered_id
from tests.factories import DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from tests.papers import document
from trips.models import (
    AppliedCommand,
    Claim,
    DispatchRound,
    SafetyAlert,
    StaffAssignment,
    Trip,
    TripChange,
    TripMessage,
    TripShare,
    TripTransition,
    TripWatch,
)
from trips.states import OfferStatus, Role, TripStatus

DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)


def ended_trip(age: dt.timedelta, status: TripStatus = TripStatus.CANCELLED, **fields: Any) -> Trip:
    """A trip that ended `age` ago; a completed one had a driver."""
    trip: Trip = TripFactory(status=status, **fields)
    at = timezone.now() - age
    ended = "completed_at" if status == TripStatus.COMPLETED else "cancelled_at"
    Trip.objects.filter(pk=trip.pk).update(**{ended: at, "departure_at": at - HOUR, "ends_at": at})
    return trip


def dated(row: Any, **instants: dt.datetime) -> Any:
    """Set instants that the database or `auto_now_add` would set."""
    type(row)._base_manager.filter(pk=row.pk).update(**instants)
    return row


def transition(age: dt.timedelta, trip: Trip | None = None, **fields: Any) -> Any:
    trip = trip or ended_trip(age)
    values = {"from_status": TripStatus.OFFERED, "to_status": TripStatus.CANCELLED, "role": Role.SYSTEM} | fields
    row = TripTransition.objects.create(trip=trip, **values)
    return dated(row, created_at=timezone.now() - age)


def trip_change(age: dt.timedelta) -> Any:
    trip = ended_trip(age)
    row = TripChange.objects.create(trip=trip, role=Role.ORGANISER, by=trip.organiser, changes={"seats": [1, 2]})
    return dated(row, created_at=timezone.now() - age)


def offer(age: dt.timedelta, trip: Trip | None = None, **fields: Any) -> Any:
    row = OfferFactory(trip=trip or ended_trip(age), **{"status": OfferStatus.EXPIRED} | fields)
    return dated(row, created_at=timezone.now() - age)


def offer_of_trip_with_driver(age: dt.timedelta) -> Any:
    return offer(age, ended_trip(age, TripStatus.COMPLETED))


def staff_assignment(age: dt.timedelta) -> Any:
    trip = ended_trip(age, TripStatus.COMPLETED)
    assert trip.driver is not None
    return StaffAssignment.objects.create(trip=trip, driver=trip.driver, assigned_at=timezone.now() - age)


def message(age: dt.timedelta, trip: Trip | None = None) -> Any:
    trip = trip or ended_trip(age, TripStatus.COMPLETED)
    assert trip.driver is not None
    return TripMessage.objects.create(
        trip=trip,
        driver=trip.driver,
        sender=trip.organiser,
        role=Role.ORGANISER,
        text="x",
        key=uuid.uuid4().hex,
        sent_at=timezone.now() - age,
    )


def safety_alert(age: dt.timedelta) -> Any:
    trip = ended_trip(age, TripStatus.COMPLETED)
    return SafetyAlert.objects.create(trip=trip, raised_by=trip.organiser, raised_at=timezone.now() - age)


def log_entry(age: dt.timedelta) -> Any:
    row = LogEntry.objects.create(user=StaffFactory(), action_flag=ADDITION, object_repr="x", change_message="")
    return dated(row, action_time=timezone.now() - age)


def point(age: dt.timedelta) -> Any:
    return TrailPoint.objects.create(trip=TripFactory(), lat=43, lng=76, recorded_at=timezone.now() - age)


def dispatch_round(age: dt.timedelta) -> Any:
    return dated(DispatchRound.objects.create(trip=TripFactory(), number=1), created_at=timezone.now() - age)


def availability_change(age: dt.timedelta, **fields: Any) -> Any:
    driver = fields.pop("driver", None) or DriverFactory()
    values = {"previous": Availability.OFFLINE, "availability": Availability.AVAILABLE, "is_online": True} | fields
    row = AvailabilityChange.objects.create(driver=driver, cause=Cause.DRIVER, **values)
    return dated(row, created_at=timezone.now() - age)


def ended_break(age: dt.timedelta) -> Any:
    at = timezone.now() - age
    return Break.objects.create(
        driver=DriverFactory(), starts_at=at - HOUR, ends_at=at, started_at=at - HOUR, ended_at=at
    )


def ended_document(age: dt.timedelta) -> Any:
    row = document(DriverFactory().user, status=DocumentStatus.REPLACED)
    return dated(row, ended_at=timezone.now() - age, uploaded_at=timezone.now() - age)


def rejected_document(age: dt.timedelta) -> Any:
    """Sent long before staff rejected its owner, whose last decision is so old."""
    driver = DriverFactory(approval="rejected", decided_at=timezone.now() - age)
    return dated(document(driver.user), uploaded_at=timezone.now() - 900 * DAY)


def pending_document(age: dt.timedelta) -> Any:
    driver = DriverFactory(approval="pending")
    return dated(document(driver.user), uploaded_at=timezone.now() - age)


def stray_document(age: dt.timedelta) -> Any:
    return dated(document(PassengerFactory()), uploaded_at=timezone.now() - age)


def application(age: dt.timedelta) -> Any:
    row = DriverApplication.objects.create(user=PassengerFactory())
    return dated(row, updated_at=timezone.now() - age)


def watch(age: dt.timedelta) -> Any:
    trip = ended_trip(age, TripStatus.COMPLETED)
    assert trip.driver is not None
    return TripWatch.objects.create(trip=trip, driver=trip.driver)


def notification(age: dt.timedelta, read: dt.timedelta | None = None) -> Any:
    read_at = None if read is None else timezone.now() - read
    row = Notification.objects.create(user=PassengerFactory(), title="x", read_at=read_at)
    return dated(row, created_at=timezone.now() - age)


def read_notification(age: dt.timedelta) -> Any:
    return notification(age, read=age)


def applied_command(age: dt.timedelta) -> Any:
    row = AppliedCommand.objects.create(driver=DriverFactory(), key=f"k{AppliedCommand.objects.count()}", about="x")
    return dated(row, created_at=timezone.now() - age)


def claim(age: dt.timedelta) -> Any:
    at = timezone.now() - age
    return Claim.objects.create(subject="trip", row_id=Claim.objects.count(), by=StaffFactory(), claimed_at=at)


def event(age: dt.timedelta, is_published: bool = True) -> Any:
    now = timezone.now()
    published_at = now if is_published else None
    row = Event.objects.create(
        event_id="x", group="staff", type="x", frame="{}", sweep_at=now, published_at=published_at
    )
    return dated(row, created_at=now - age)


def security_event(age: dt.timedelta) -> Any:
    return SecurityEvent.objects.create(event="sign_in.failed", at=timezone.now() - age)


def session(age: dt.timedelta) -> Any:
    """One that expired `age` ago; its key says nothing about that."""
    number = Session.objects.count()
    key = f"{(number * 7) % 10}{number:031}"
    return Session.objects.create(session_key=key, session_data="", expire_date=timezone.now() - age)


def share(age: dt.timedelta) -> Any:
    """The link of a trip that ended so long ago, by a server that knew of no links."""
    trip = ended_trip(age)
    row = TripShare.objects.create(trip=trip, created_by=trip.organiser, token_digest=uuid.uuid4().hex)
    return dated(row, created_at=timezone.now() - 30 * DAY)


def account_session(age: dt.timedelta) -> Any:
    """That of a session that expired `age` ago."""
    user = PassengerFactory()
    return AccountSession.objects.create(session=session(age), user=user, last_seen_at=timezone.now() - DAY)


def push_subscription(age: dt.timedelta) -> Any:
    """That of a session that expired `age` ago."""
    row = PushSubscription.objects.create(
        endpoint=f"https://push.test/{PushSubscription.objects.count()}", user=PassengerFactory(), session=session(age)
    )
    return dated(row, created_at=timezone.now() - DAY)


def address_change(age: dt.timedelta) -> Any:
    return AddressChange.objects.create(
        user=PassengerFactory(), new_email="new@example.test", expires_at=timezone.now() - age
    )


def address_code(age: dt.timedelta) -> Any:
    return AddressCode.objects.create(user=PassengerFactory(), email="x@example.test", expires_at=timezone.now() - age)


def phone_code(age: dt.timedelta) -> Any:
    return PhoneCode.objects.create(token_digest=f"{PhoneCode.objects.count()}", expires_at=timezone.now() - age)


def day_count(age: dt.timedelta) -> Any:
    return DayCount.objects.create(name=f"sms:{DayCount.objects.count()}", closes_at=timezone.now() - age)


def task(age: dt.timedelta) -> Any:
    """One that never ended."""
    at = timezone.now() - age
    key = ordered_id(at.timestamp())
    row = DBTaskResult.objects.create(id=key, args_kwargs={}, queue_name="mail", run_after=get_date_max())
    return dated(row, enqueued_at=at)


def beat(age: dt.timedelta) -> Any:
    return ServerBeat.objects.create(name=f"host:{ServerBeat.objects.count()}", beat_at=timezone.now() - age)


class Case(NamedTuple):
    """How a row of a given age is made, and the settings under which it is kept for `kept`."""

    make: Callable[[dt.timedelta], Any]
    kept: dt.timedelta
    settings: dict[str, int] = {}


CASES = {
    "transitions": Case(transition, 40 * DAY, {"disputes_kept_days": 40, "trail_kept_days": 10}),
    "offers of trips that had a driver": Case(
        offer_of_trip_with_driver, 40 * DAY, {"disputes_kept_days": 40, "offers_kept_days": 30, "rounds_kept_days": 10}
    ),
    "assignments by staff": Case(staff_assignment, 40 * DAY, {"disputes_kept_days": 40, "offers_kept_days": 30}),
    "changes of trips": Case(trip_change, 40 * DAY, {"disputes_kept_days": 40}),
    "messages": Case(message, 35 * DAY, {"messages_kept_days": 35}),
    "calls for help": Case(safety_alert, 40 * DAY, {"disputes_kept_days": 40}),
    "staff's changes": Case(log_entry, 40 * DAY, {"disputes_kept_days": 40}),
    "trails": Case(point, 10 * DAY, {"trail_kept_days": 10}),
    "rounds": Case(dispatch_round, 10 * DAY, {"rounds_kept_days": 10}),
    "other offers": Case(offer, 40 * DAY, {"offers_kept_days": 40, "rounds_kept_days": 10}),
    "availability": Case(availability_change, 20 * DAY, {"working_time_kept_days": 20, "rounds_kept_days": 10}),
    "breaks": Case(ended_break, 20 * DAY, {"working_time_kept_days": 20}),
    "documents that ended": Case(ended_document, 40 * DAY, {"disputes_kept_days": 40, "applications_kept_days": 20}),
    "documents of nobody who drives": Case(stray_document, 20 * DAY, {"applications_kept_days": 20}),
    "applications never sent": Case(application, 20 * DAY, {"applications_kept_days": 20}),
    "watches": Case(watch, 20 * DAY, {"watches_kept_days": 20}),
    "notifications": Case(notification, 20 * DAY, {"notifications_kept_days": 20}),
    "read notifications": Case(read_notification, 10 * DAY, {"read_notifications_kept_days": 10}),
    "keys of commands": Case(applied_command, 2 * DAY),
    "claims": Case(claim, 4 * HOUR, {"claim_kept_min": 240}),
    "events": Case(event, 12 * HOUR, {"event_log_hours": 12}),
    "security log": Case(security_event, 60 * DAY, {"security_log_kept_days": 60}),
    "links to trips": Case(share, 0 * DAY),
    "sessions": Case(session, 0 * DAY),
    "sessions in people's lists": Case(account_session, 0 * DAY),
    "browsers that get pushes": Case(push_subscription, 0 * DAY),
    "changes of address": Case(address_change, 0 * DAY),
    "codes by mail": Case(address_code, 0 * DAY),
    "codes by SMS": Case(phone_code, 0 * DAY),
    "counts of a day": Case(day_count, 0 * DAY),
    "mails and pushes": Case(task, DAY),
    "dispatchers": Case(beat, DAY),
}
