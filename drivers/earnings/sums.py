"""Sums of a driver's completed trips: of today and this week for the dashboard, of any period for the earnings page.

Amounts are whole tenge, stored with each trip when it was booked, so sums are exact. A trip belongs to the day on which
it was completed, by the driver's time zone, whatever zone the trip was in and whenever it began.

Of a trip that was handed over each driver has a part (trips.legs). The passengers pay all of it to who brought them to
the destination, so that driver owes the service the others' parts as well, and the service owes the others theirs.
Where staff cancelled such a trip nobody paid: the service still owes the others what they drove.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, F, IntegerField, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce

from drivers.models import Driver
from trips.models import Booking, Trip, TripLeg
from trips.states import ASSIGNED, FINISHED, BookingStatus, TripStatus

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
    week = _sum_up(driver.pk, periods.current(Kind.WEEK, zone, now), [periods.current(Kind.DAY, zone, now).starts_at])
    cash = Booking.objects.filter(
        trip__driver_id=driver.pk,
        trip__status__in=ASSIGNED,
        status=BookingStatus.CONFIRMED,
        payment_method="cash",
    ).aggregate(total=Sum("amount"))
    return Earnings(
        today=week[1].earned,
        today_trips=week[1].trips,
        week=sum(one.earned for one in week),
        cash_to_collect=cash["total"] or 0,
    )


def completed(driver_id: int, period: Period) -> QuerySet[Trip]:
    """Return the trips that were completed in the period, and that the driver brought to their destination."""
    return Trip.objects.filter(
        driver_id=driver_id,
        status=TripStatus.COMPLETED,
        completed_at__gte=period.starts_at,
        completed_at__lt=period.ends_at,
    )


def former_legs(driver_id: int, period: Period) -> QuerySet[TripLeg]:
    """Return the driver's legs of trips that ended in the period: completed by another driver, or cancelled by staff.

    They drove their leg whatever became of the rest. `trip_ended_at` says when the trip ended.
    """
    ended = TripLeg.objects.filter(driver_id=driver_id, trip__status__in=sorted(FINISHED))
    ended = ended.annotate(trip_ended_at=Coalesce("trip__completed_at", "trip__cancelled_at"))
    return ended.filter(trip_ended_at__gte=period.starts_at, trip_ended_at__lt=period.ends_at)


_IN_CASH = Q(payment_method="cash")
_NOTHING = Value(0)
# What a driver has of a trip that they completed, and of a former leg, by the names of the fields of Sums.
OWN = {
    "part_fare": F("fare") - F("former_fare"),
    "part_fee": F("platform_fee") - F("former_fee"),
    "part_earned": F("driver_earnings") - F("former_fare") + F("former_fee"),
    "part_owed": Case(When(_IN_CASH, then=F("platform_fee") + F("former_fare") - F("former_fee")), default=_NOTHING),
}
OWN_OF_LEG = {
    "part_fare": F("fare"),
    "part_fee": F("fee"),
    "part_earned": F("fare") - F("fee"),
    "part_owed": Case(When(trip__payment_method="cash", then=F("fee") - F("fare")), default=_NOTHING),
}


@dataclass(frozen=True, slots=True)
class Sums:
    """What a number of completed trips came to for one driver; `fare` is `fee` and `earned`."""

    trips: int = 0
    fare: int = 0
    fee: int = 0
    earned: int = 0
    # What of the cash that was paid to the driver is not theirs: the fees, and the parts of drivers who handed a trip
    # over to them. They owe it to the service; negative: the service owes them, as another driver has the cash.
    fee_owed: int = 0

    @property
    def service_owes(self) -> int:
        """What the service owes the driver; 0: nothing, or the driver owes it."""
        return max(-self.fee_owed, 0)

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
    return _sum_up(driver_id, period, [span.ends_at for span in period.spans[:-1]])


def _sum_up(driver_id: int, period: Period, bounds: Iterable[dt.datetime]) -> list[Sums]:
    """Sum up what the driver has of trips completed in the period, before, between and after the ascending bounds."""
    ends = list(bounds)
    trips = _grouped(completed(driver_id, period), "completed_at", ends, OWN)
    legs = _grouped(former_legs(driver_id, period), "trip_ended_at", ends, OWN_OF_LEG)
    found = [Sums() for _span in range(len(ends) + 1)]
    for at, *amounts in trips.union(legs, all=True):
        found[at] += Sums(*amounts)
    return found


def _grouped(rows: QuerySet[Any], completed_at: str, ends: list[dt.datetime], own: dict[str, Any]) -> QuerySet[Any]:
    number = Case(
        *(When(**{f"{completed_at}__lt": end}, then=Value(at)) for at, end in enumerate(ends)),
        default=Value(len(ends)),
        output_field=IntegerField(),
    )
    sums = {f"sum_{name}": Sum(name) for name in own}
    grouped = rows.order_by().annotate(span=number, **own).values("span").annotate(trips=Count("pk"), **sums)
    return grouped.values_list("span", "trips", *sums)


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
