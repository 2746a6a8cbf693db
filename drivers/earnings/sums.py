"""Sums of a driver's completed trips: of today and this week for the dashboard, of any period for the earnings page.

Amounts are whole tenge, stored with each trip when it was booked, so sums are exact. A trip belongs to the day on which
it was completed, by the driver's time zone, whatever zone the trip was in and whenever it began.
"""

import datetime as dt
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, IntegerField, Q, QuerySet, Sum, Value, When

from drivers.models import Driver
from trips.models import Booking, Trip
from trips.states import ASSIGNED, BookingStatus, TripStatus

from . import periods
from .periods import Kind, Period

# What is earned per hour says nothing about a shorter time online.
PER_HOUR_FROM = dt.timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Earnings:
    today: int
    today_trips: int
    week: int
    # Confirmed cash bookings of the driver's accepted, unfinished trips.
    cash_to_collect: int


def for_driver(driver: Driver, now: dt.datetime) -> Earnings:
    """Sum up the earnings of the driver's day and week, and the cash to collect; two queries."""
    zone = ZoneInfo(driver.timezone)
    today = Q(completed_at__gte=periods.current(Kind.DAY, zone, now).starts_at)
    week = periods.current(Kind.WEEK, zone, now)
    sums = completed(driver.pk, week).aggregate(
        today=Sum("driver_earnings", filter=today),
        today_trips=Count("pk", filter=today),
        week=Sum("driver_earnings"),
    )
    cash = Booking.objects.filter(
        trip__driver_id=driver.pk,
        trip__status__in=ASSIGNED,
        status=BookingStatus.CONFIRMED,
        payment_method="cash",
    ).aggregate(total=Sum("amount"))
    return Earnings(
        today=sums["today"] or 0,
        today_trips=sums["today_trips"],
        week=sums["week"] or 0,
        cash_to_collect=cash["total"] or 0,
    )


def completed(driver_id: int, period: Period) -> QuerySet[Trip]:
    """Return the driver's trips that were completed in the period."""
    return Trip.objects.filter(
        driver_id=driver_id,
        status=TripStatus.COMPLETED,
        completed_at__gte=period.starts_at,
        completed_at__lt=period.ends_at,
    )


@dataclass(frozen=True, slots=True)
class Sums:
    """What a number of completed trips came to; `fare` is `fee` and `earned`."""

    trips: int = 0
    fare: int = 0
    fee: int = 0
    earned: int = 0
    # The fees of trips that were paid to the driver in cash: the driver owes them to the service.
    fee_owed: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.trips + other.trips,
            self.fare + other.fare,
            self.fee + other.fee,
            self.earned + other.earned,
            self.fee_owed + other.fee_owed,
        )


def by_span(driver_id: int, period: Period) -> list[Sums]:
    """Sum up the completed trips of each span of the period; one query.

    The spans are compared as instants: the database's own time zones may differ from the pinned ones.
    """
    spans = period.spans
    number = Case(
        *(When(completed_at__lt=span.ends_at, then=Value(at)) for at, span in enumerate(spans)),
        output_field=IntegerField(),
    )
    rows = (
        completed(driver_id, period)
        .order_by()
        .annotate(span=number)
        .values("span")
        .annotate(
            trips=Count("pk"),
            fares=Sum("fare"),
            fees=Sum("platform_fee"),
            earned=Sum("driver_earnings"),
            fees_owed=Sum("platform_fee", filter=Q(payment_method="cash")),
        )
        .values_list("span", "trips", "fares", "fees", "earned", "fees_owed")
    )
    found = {at: Sums(trips, fare, fee, earned, owed or 0) for at, trips, fare, fee, earned, owed in rows}
    return [found.get(at, Sums()) for at in range(len(spans))]


def cash_collected(driver_id: int, period: Period) -> int:
    """Sum up the cash bookings of the trips completed in the period; bookings that were cancelled are not paid."""
    bookings = Booking.objects.filter(
        trip__in=completed(driver_id, period), status=BookingStatus.COMPLETED, payment_method="cash"
    )
    return bookings.aggregate(total=Sum("amount"))["total"] or 0


def per_hour(earned: int, online: dt.timedelta) -> int | None:
    """Return what was earned per hour online, to the nearest tenge; None: online for too short a time to say."""
    if online < PER_HOUR_FROM:
        return None
    exact = Decimal(earned) * 3600 / Decimal(online // dt.timedelta(seconds=1))
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP))
