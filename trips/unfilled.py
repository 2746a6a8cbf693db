"""Trips without a driver for too long: notify staff and the passenger once, widen the search, postpone."""

import datetime as dt

from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from realtime.delivery.notifications import notify, notify_staff
from stepper import limits
from stepper.db.clock import database_now
from stepper.db.transactions import best_effort, in_transaction, isolate_failures
from stepper.errors import Conflict, InvalidFields
from stepper.models import ServiceSettings, User
from trips.access import require_searching, trip_for
from trips.changes import record_change
from trips.dispatch import first_search_at, start_round
from trips.models import NO_WAVE, Trip
from trips.offers import withdraw_offers

from . import booking_limits
from .policy import radius_of
from .states import OPEN

RADIUS_MOST_KM = 200.0
# A trip can be postponed at most this far ahead.


# Notifying staff and the passenger


def escalate_due(limit: int = 100) -> int:
    """Notify staff and passengers of trips that have been without a driver for too long; return how many.

    A trip is due `escalate_after_min` after it was booked; one for later not earlier than `escalate_before_min`
    before its departure.
    """
    settings = ServiceSettings.current()
    if not settings.escalate_after_min:
        return 0
    booked_before = Now() - dt.timedelta(minutes=settings.escalate_after_min)
    departs_before = Now() + dt.timedelta(minutes=settings.escalate_before_min)
    due = Trip.objects.filter(Q(is_now=True) | Q(departure_at__lte=departs_before), created_at__lte=booked_before)
    due = due.filter(status__in=sorted(OPEN), escalated_at__isnull=True)
    return isolate_failures(_escalate, list(due.order_by("pk").values_list("pk", flat=True)[:limit]))


@in_transaction
def _escalate(trip_ids: list[int]) -> int:
    trips = list(
        Trip.objects.filter(pk__in=trip_ids, status__in=sorted(OPEN), escalated_at__isnull=True)
        .order_by("pk")
        .select_for_update(no_key=True, skip_locked=True, of=("self",))
        .select_related("organiser")
    )
    if not trips:
        return 0
    Trip.objects.filter(pk__in=[trip.pk for trip in trips]).update(escalated_at=Now(), version=F("version") + 1)
    for trip in trips:
        trip.version += 1
        trip.announce(trip.status)
        notify(
            trip.organiser,
            gettext_lazy("No driver yet"),
            message=gettext_lazy("You can have drivers farther away asked, or go later."),
            audience="passenger",
            priority="high",
            action_url=f"/trips/{trip.pk}/",
        )
    first = trips[0]
    told = [str(trip) for trip in trips[:3]] + (["…"] if len(trips) > 3 else [])
    one = reverse("admin:trips_trip_change", args=[first.pk])
    all_of_them = f"{reverse('admin:trips_trip_changelist')}?attention=unfilled"
    notify_staff(
        "trips.change_trip",
        lambda: (_("Nobody takes a trip") if len(trips) == 1 else _("Nobody takes these trips"), "; ".join(told)),
        one if len(trips) == 1 else all_of_them,
    )
    return len(trips)


# What its organiser or staff can do


def widen(trip_id: int, user: User, radius_km: float) -> Trip:
    """Widen the search of an open trip to `radius_km`. The same or a smaller radius changes nothing.

    Raises:
        NotFound, NotPermitted, InvalidInput (radius_km), Conflict (trip.transition_refused): it has a driver or is over
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "widen", "changes_per_min")
    trip, changed = _widen(trip_id, user, radius_km)
    if changed:
        best_effort(start_round, trip.pk, at_once=True)
        trip.refresh_from_db()
    return trip


@in_transaction
def _widen(trip_id: int, user: User, radius_km: float) -> tuple[Trip, bool]:
    trip = _lock_open_trip(trip_id, user)
    if not 0 < radius_km <= RADIUS_MOST_KM:
        raise InvalidFields({"radius_km": [_("At most 200 km.")]})
    if radius_km <= radius_of(trip, ServiceSettings.current()):
        return trip, False
    trip.amend(radius_km=radius_km, next_look_at=Now())
    return trip, True


def postpone(trip_id: int, user: User, departure_at: dt.datetime) -> Trip:
    """Postpone an open trip: withdraw its offers and make new ones. The same time again changes nothing.

    Raises:
        NotFound, NotPermitted, InvalidInput (departure_at: not later than now and than before, or too late),
        Conflict (trip.transition_refused): it has a driver or is over
        Conflict (trip.change_too_late): passengers are on the way, it was handed over
        Conflict (booking.overlapping): too many trips of the account are at that time
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "postpone", "changes_per_min")
    trip, changed = _postpone(trip_id, user, departure_at)
    if changed:
        best_effort(start_round, trip.pk)
        trip.refresh_from_db()
    return trip


@in_transaction
def _postpone(trip_id: int, user: User, departure_at: dt.datetime) -> tuple[Trip, bool]:
    # Lock the account before the trip, as in booking, because its trips at the new time are counted.
    account = None if user.may_steer_trips else booking_limits.lock_account(user)
    trip = _lock_open_trip(trip_id, user)
    if departure_at == trip.departure_at:
        return trip, False
    if trip.former_legs:
        raise Conflict("trip.change_too_late", _("The passengers are on the way already; tell the driver."))
    now = database_now()
    settings = ServiceSettings.current()
    if not max(now, trip.departure_at) < departure_at <= now + dt.timedelta(days=settings.book_ahead_days):
        words = ngettext(
            "Choose a time after the one it has, within %(days)d day.",
            "Choose a time after the one it has, within %(days)d days.",
            settings.book_ahead_days,
        ) % {"days": settings.book_ahead_days}
        raise InvalidFields({"departure_at": [words]})
    ends_at = departure_at + dt.timedelta(minutes=trip.duration_min)
    if account is not None:
        plan = booking_limits.Plan(departure_at, ends_at, trip.traveller_phone, trip.timezone)
        booking_limits.require_free_time(account, plan, settings=settings, trip=trip)
    withdraw_offers(trip, "changed")
    record_change(trip, {"departure_at": departure_at, "is_now": False}, user)
    trip.amend(
        departure_at=departure_at,
        ends_at=ends_at,
        search_until=departure_at,
        is_now=False,
        escalated_at=None,
        changed_version=trip.version + 1,
        changed_after_round=trip.round_number,
        **NO_WAVE | {"next_look_at": first_search_at(departure_at, settings, now)},
    )
    return trip, True


def _lock_open_trip(trip_id: int, user: User) -> Trip:
    """Lock and return an open trip, for who booked it and staff."""
    trip_for(user, trip_id)
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    require_searching(trip, user, _("Only who booked the trip can change it."))
    return trip


def next_radius(trip: Trip, settings: ServiceSettings) -> float | None:
    """Return the wider radius a passenger may choose: twice as far, up to the limit; None: it is that far already."""
    radius_km = radius_of(trip, settings)
    return min(2 * radius_km, RADIUS_MOST_KM) if radius_km < RADIUS_MOST_KM else None
