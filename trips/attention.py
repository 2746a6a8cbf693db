"""What of a trip or a driver needs a person: the conditions, as the administration filters by and the queue lists.

Each condition of a trip is written twice: as a `Q`, to find the rows, and in `matter_of`, to say which it is and since
when. tests/trips/test_attention.py has both agree.
"""

import datetime as dt
from typing import NamedTuple

from django.db.models import BooleanField, Case, Exists, IntegerChoices, OuterRef, Q, When
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext_lazy as _

from stepper.models import ServiceSettings
from trips.models import SafetyAlert, Trip, TripQuerySet, TripTransition
from trips.states import ASSIGNED, OPEN, Doubt, Stall, TripStatus

# Not over, and published: what the partial index `trip_live` has.
LIVE = OPEN | ASSIGNED
# Written out: of parameters SQLite cannot know whether they are what its index has.
_IS_LIVE = RawSQL(  # noqa: S611 - constants
    f'"trips_trip"."status" IN ({", ".join(repr(str(status)) for status in sorted(LIVE))})',
    (),
    output_field=BooleanField(),
)

LATE = Q(status=TripStatus.ACCEPTED, watch__late_at__isnull=False)
UNFILLED = Q(status__in=sorted(OPEN), escalated_at__isnull=False)
STALLED = Q(status=TripStatus.EN_ROUTE, watch__stall__in=Stall.values)
UNCONFIRMED = Q(status=TripStatus.DRIVER_ARRIVED, arrival_flagged=True)
# Also of a trip that is over: whoever called may still need help.
CALL_FOR_HELP = Exists(SafetyAlert.objects.filter(trip=OuterRef("pk"), handled_at__isnull=True).order_by())
# A step was taken far from where it belongs; of a trip that is over it stays a matter of record.
FAR_STEP = Exists(TripTransition.objects.filter(trip=OuterRef("pk"), doubt=Doubt.FAR).order_by())


def live_trips() -> TripQuerySet:
    """Return the trips that are published and not over, found by their index."""
    return Trip.objects.filter(_IS_LIVE).order_by()


class Matter(IntegerChoices):
    """Why somebody is needed, the most urgent first."""

    HELP = 0, _("Somebody calls for help")
    UNFILLED = 1, _("Nobody takes it")
    LATE = 2, _("Has not set off")
    STALLED = 3, _("Does not come nearer")
    UNCONFIRMED = 4, _("Arrival not confirmed")
    WAITING = 5, _("Waiting for a driver")
    APPLICATION = 6, _("Application to drive")
    PAPERS = 7, _("Documents to check")
    EXPIRING = 8, _("Documents end soon")


class Open(NamedTuple):
    """A matter that is open, and since when."""

    matter: Matter
    since: dt.datetime


def waiting_before(settings: ServiceSettings, now: dt.datetime) -> dt.datetime:
    """Return the instant before which a trip was booked that has waited long for a driver."""
    return now - dt.timedelta(minutes=settings.waiting_long_min)


def waiting(settings: ServiceSettings, now: dt.datetime) -> Q:
    """Return the condition on trips that have been without a driver for long, before staff are told of them.

    One for later counts as soon as staff would be told of it (`escalate_before_min`).
    """
    departs_before = now + dt.timedelta(minutes=settings.escalate_before_min)
    soon = Q(is_now=True) | Q(departure_at__lte=departs_before)
    booked = Q(created_at__lte=waiting_before(settings, now))
    return Q(status__in=sorted(OPEN), escalated_at__isnull=True) & soon & booked


def without_driver(settings: ServiceSettings, now: dt.datetime) -> Q:
    """Return the condition on trips that have been without a driver for long, also those that staff are told of."""
    return UNFILLED | waiting(settings, now)


def needs_person(settings: ServiceSettings, now: dt.datetime) -> Q:
    """Return the condition on the trips of the queue; calls for help are rows of their own in it."""
    return LATE | STALLED | UNCONFIRMED | without_driver(settings, now)


# As `matter_of` tells them.
URGENCY = Case(
    When(UNFILLED, then=Matter.UNFILLED.value),
    When(LATE, then=Matter.LATE.value),
    When(STALLED, then=Matter.STALLED.value),
    When(UNCONFIRMED, then=Matter.UNCONFIRMED.value),
    default=Matter.WAITING.value,
)


def matter_of(trip: Trip, settings: ServiceSettings, now: dt.datetime) -> Open | None:
    """Return the most urgent matter of a trip that was read with its watch; None: nobody is needed."""
    if trip.status in OPEN and trip.escalated_at is not None:
        return Open(Matter.UNFILLED, trip.escalated_at)
    watch = getattr(trip, "watch", None)
    if trip.status == TripStatus.ACCEPTED and watch is not None and watch.late_at is not None:
        return Open(Matter.LATE, watch.late_at)
    if trip.stalled is not None:
        return Open(Matter.STALLED, trip.stalled.stalled_at or trip.departure_at)
    if trip.awaits_confirmation:
        return Open(Matter.UNCONFIRMED, getattr(trip, "moved_at", None) or trip.departure_at)
    if trip.status in OPEN and trip.created_at <= waiting_before(settings, now):
        soon = trip.departure_at <= now + dt.timedelta(minutes=settings.escalate_before_min)
        return Open(Matter.WAITING, trip.created_at) if trip.is_now or soon else None
    return None
