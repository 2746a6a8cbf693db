"""How a trip ends: completed or cancelled, with its offers, its bookings and its driver.

Every verb that ends a trip calls `end_trip` inside its own transaction.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.utils.functional import lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drivers.availability import mark_free
from drivers.updates import publish_update
from realtime import events, groups
from realtime.delivery.notifications import notify
from realtime.outbox import publish, refresh_permissions
from stepper.db.clock import database_now
from stepper.texts import clean_text
from trips import legs
from trips.models import NO_WAVE, Booking, Trip
from trips.offers import withdraw_offers
from trips.states import BookingStatus, Role, TripStatus


def end_trip(
    trip: Trip,
    to: TripStatus,
    *,
    role: Role,
    by_id: int | None,
    note: str = "",
    code: str = "",
    is_note_private: bool = False,
    lat: float | None = None,
    lng: float | None = None,
    doubt: str = "",
    away_km: float | None = None,
) -> None:
    """Complete or cancel a trip with its open offers and bookings, and release its driver.

    Call it inside a transaction that has locked driver and trip. `note` is the reason of a cancellation, `code` the
    one that the passenger chose (CancelReason): then the note is not published, nor where `is_note_private`. `lat` to
    `away_km` go into the history (Trip.move). Publishes and notifies.
    """
    now, note = database_now(), clean_text(note)
    cancelled = to == TripStatus.CANCELLED
    changes: dict[str, Any] = {"completed_at": now}
    if cancelled:
        changes = {"cancelled_at": now, "cancel_reason": note[:200], "cancel_code": code}
    announced = "" if code or is_note_private else note
    history: dict[str, Any] = {
        "note": note,
        "announced": announced,
        "lat": lat,
        "lng": lng,
        "doubt": doubt,
        "away_km": away_km,
    }
    former = legs.legs_of([trip]).get(trip.pk, [])
    trip.move(to, role, by_id=by_id, **history, **NO_WAVE, **changes, **legs.columns_given_back(former))
    for leg in former:
        # They have no part in the live trip any more, but what they earned is in their pages.
        publish_update(leg.driver, "trips")
    if cancelled:
        withdraw_offers(trip, "cancelled")
    bookings = _end_bookings(trip, cancelled_at=now if cancelled else None)
    if trip.driver_id:
        mark_free(trip.driver_id)
    if cancelled:
        _announce_cancellation(trip, bookings, role=role, by_id=by_id, note=announced)


def _end_bookings(trip: Trip, cancelled_at: dt.datetime | None) -> list[Booking]:
    """Lock the open bookings of a trip and end them with it; return them. `cancelled_at` None: the trip is completed.

    The seats of cancelled bookings return to the trip.
    """
    bookings = list(
        trip.bookings.select_for_update(no_key=True, of=("self",))
        .filter(status__in=[BookingStatus.PENDING, BookingStatus.CONFIRMED])
        .select_related("passenger")
        .order_by("pk")
    )
    ended = BookingStatus.CANCELLED if cancelled_at else BookingStatus.COMPLETED
    trip.bookings.filter(pk__in=[row.pk for row in bookings]).update(status=ended, cancelled_at=cancelled_at)
    if cancelled_at:
        # In the same transaction as the bookings, so that no seat returns twice.
        trip.available_seats += sum(row.seats for row in bookings)
        Trip.objects.filter(pk=trip.pk).update(available_seats=trip.available_seats)
    return bookings


def _announce_cancellation(
    trip: Trip, bookings: Sequence[Booking], *, role: Role, by_id: int | None, note: str
) -> None:
    """Publish the cancelled bookings, and notify everybody on the trip except the user who cancelled it (`by_id`)."""
    for booking in bookings:
        _publish_cancelled_booking(trip, booking, note)
        if by_id != booking.passenger_id:
            unfilled = role == Role.SYSTEM
            notify(
                booking.passenger,
                gettext_lazy("No driver was found in time") if unfilled else gettext_lazy("Your trip was cancelled"),
                message=f"{trip.title}. {note}".strip(),
                audience="passenger",
                priority="high",
                category="booking",
                action_url=f"/trips/{trip.pk}/",
                is_critical=True,
            )
    # Passengers without a seat may not watch the trip any more, and own trips that ended are no longer watched.
    people = {trip.organiser_id, *(row.passenger_id for row in bookings)} | (
        {trip.driver.user_id} if trip.driver else set()
    )
    refresh_permissions(*(groups.user(pk) for pk in sorted(people)))
    if trip.driver and trip.driver.user_id != by_id:
        notify(
            trip.driver.user,
            gettext_lazy("Trip cancelled"),
            message=lazy(_message_to_driver, str)(trip, role),
            audience="driver",
            priority="high",
            action_url="/driver/",
        )


def _message_to_driver(trip: Trip, role: Role) -> str:
    """Return, in the active language, which trip was cancelled, by whom where they chose a reason, and why."""
    said = trip.cancel_words
    if trip.cancel_code and role == Role.ORGANISER:
        said = _("The passenger cancelled: %(reason)s.") % {"reason": said} if said else _("The passenger cancelled.")
    return f"{trip.title}. {said}".strip()


def _publish_cancelled_booking(trip: Trip, booking: Booking, reason: str) -> None:
    """Publish a cancelled booking to whoever sees the trip, its passenger, the organiser and the driver."""
    audience = {groups.trip(trip.pk), groups.user(booking.passenger_id), groups.user(trip.organiser_id)}
    if trip.driver_id:
        audience.add(groups.driver(trip.driver_id))
    publish(
        events.BookingCancelled(
            trip_id=trip.pk,
            version=trip.version,
            booking_id=booking.pk,
            seats=booking.seats,
            seats_left=trip.available_seats,
            reason=reason,
        ),
        *sorted(audience),
    )
