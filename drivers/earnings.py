"""A driver's earnings, and the cash that they have to collect.

"Today" and "this week" (from Monday) are in the service's time zone, whatever zone a trip was in. Earnings are the
driver's share, in whole tenge.
"""

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Count, Q, Sum

from trips.models import Booking, Trip
from trips.states import ASSIGNED, BookingStatus, TripStatus


@dataclass(frozen=True, slots=True)
class Earnings:
    today: int
    today_trips: int
    week: int
    # Confirmed cash bookings of the driver's accepted, unfinished trips.
    cash_to_collect: int


def for_driver(driver_id: int, now: dt.datetime) -> Earnings:
    """Sum up the earnings of today and this week, and the cash to collect; two queries."""
    local = now.astimezone(ZoneInfo(settings.TIME_ZONE))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    monday = midnight - dt.timedelta(days=midnight.weekday())
    today = Q(completed_at__gte=midnight)
    sums = Trip.objects.filter(driver_id=driver_id, status=TripStatus.COMPLETED, completed_at__gte=monday).aggregate(
        today=Sum("driver_earnings", filter=today),
        today_trips=Count("pk", filter=today),
        week=Sum("driver_earnings"),
    )
    cash = Booking.objects.filter(
        trip__driver_id=driver_id,
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
