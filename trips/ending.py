from django.utils import timezone
from django.utils.translation import gettext_lazy

from drivers.availability import mark_free
from realtime import events, groups
from realtime.delivery.notifications import notify
from realtime.outbox import publish, refresh_permissions
from trips.models import NO_WAVE, Trip
from trips.offers import withdraw_offers
from trips.states import BookingStatus, Role, TripStatus


def end_trip(
    trip: Trip,
    to: TripStatus,
    *,
    role: Role,
    by_id: int | None,
    note: str = "",
    lat: float | None = None,
    lng: float | None = None,
    doubt: str = "",
    away_km: float | None = None,
) -> None:
    """Completes or cancels: the trip, its open offers and bookings, and its driver is free again.

    Inside the caller's transaction, driver and trip locked. Publishes and notifies.
    """
    now = timezone.now()
    cancelled = to == TripStatus.CANCELLED
    changes = {"cancelled_at": now, "cancel_reason": note[:200]} if cancelled else {"completed_at": now}
    trip.move(to, role, by_id=by_id, note=note, lat=lat, lng=lng, doubt=doubt, away_km=away_km, **NO_WAVE, **changes)
    if cancelled:
        withdraw_offers(trip, "cancelled")
    ended = BookingStatus.CANCELLED if cancelled else BookingStatus.COMPLETED
    bookings = list(
        trip.bookings.select_for_update(no_key=True, of=("self",))
        .filter(status__in=[BookingStatus.PENDING, BookingStatus.CONFIRMED])
        .select_related("passenger")
        .order_by("pk")
    )
    trip.bookings.filter(pk__in=[row.pk for row in bookings]).update(
        status=ended, cancelled_at=now if cancelled else None
    )
    if trip.driver_id:
        mark_free(trip.driver_id)
    if not cancelled:
        return
    # In the same transaction as the bookings, so that no seat returns twice.
    trip.available_seats += sum(row.seats for row in bookings)
    Trip.objects.filter(pk=trip.pk).update(available_seats=trip.available_seats)
    for booking in bookings:
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
                reason=note,
            ),
            *sorted(audience),
        )
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
            )
    # Who had a seat may not watch the trip any more, and nobody follows it without asking.
    people = {trip.organiser_id, *(row.passenger_id for row in bookings)} | (
        {trip.driver.user_id} if trip.driver else set()
    )
    refresh_permissions(*(groups.user(pk) for pk in sorted(people)))
    if trip.driver and trip.driver.user_id != by_id:
        notify(
            trip.driver.user,
            gettext_lazy("Trip cancelled"),
            message=f"{trip.title}. {note}".strip(),
            audience="driver",
            priority="high",
            action_url="/driver/",
        )
