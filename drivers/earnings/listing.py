"""The completed trips of a period, each with its fare, fee, share and cash: pages of them, and all for a statement."""

import datetime as dt
import re
from dataclasses import dataclass

from django.db.models import IntegerField, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from stepper.errors import NotFound
from trips.models import Booking, Trip
from trips.states import BookingStatus

from .periods import Period
from .sums import completed

PAGE = 20
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class EarnedTrip:
    """A completed trip and what came of it; `cash` is what the passengers paid to the driver."""

    trip_id: int
    completed_at: dt.datetime
    pickup: str
    dropoff: str
    distance_km: float
    fare: int
    fee: int
    earned: int
    payment_method: str
    cash: int

    @property
    def fee_owed(self) -> int:
        """The fee, where the passengers paid the driver."""
        return self.fee if self.payment_method == "cash" else 0


@dataclass(frozen=True, slots=True)
class TripsPage:
    """One page of a period's trips, the latest first. `more`: where the next page begins; empty: this is the last."""

    trips: list[EarnedTrip]
    more: str


def all_trips(driver_id: int, period: Period) -> list[EarnedTrip]:
    """Read all trips of the period in the order of their completion; one query, so they are of one moment."""
    return _read(completed(driver_id, period).order_by("completed_at", "pk"))


def page(driver_id: int, period: Period, before: str = "") -> TripsPage:
    """Read a page of the period's trips; one query.

    `before`: the `more` of the page before, empty: the first page.

    Raises:
        NotFound: `before` is not the `more` of any page
    """
    trips = completed(driver_id, period).order_by("-completed_at", "-pk")
    if before:
        completed_at, pk = _parse_before(before)
        trips = trips.filter(Q(completed_at__lt=completed_at) | Q(completed_at=completed_at, pk__lt=pk))
    rows = _read(trips[: PAGE + 1])
    more = ""
    if len(rows) > PAGE:
        last = rows[PAGE - 1]
        more = f"{(last.completed_at - _EPOCH) // _MICROSECOND}-{last.trip_id}"
    return TripsPage(rows[:PAGE], more)


def _read(trips: QuerySet[Trip]) -> list[EarnedTrip]:
    paid = Booking.objects.filter(trip=OuterRef("pk"), status=BookingStatus.COMPLETED, payment_method="cash")
    total = paid.order_by().values("trip").annotate(total=Sum("amount")).values("total")
    cash = Coalesce(Subquery(total), 0, output_field=IntegerField())
    columns = ("pk", "completed_at", "pickup_name", "dropoff_name", "distance_km")
    money = ("fare", "platform_fee", "driver_earnings", "payment_method")
    return [EarnedTrip(*row) for row in trips.annotate(cash=cash).values_list(*columns, *money, "cash")]


def _parse_before(before: str) -> tuple[dt.datetime, int]:
    # Up to the year 5138, so no instant is too large.
    found = re.fullmatch(r"([0-9]{1,17})-([0-9]{1,18})", before)
    if found is None:
        raise NotFound("not_found", _("There is no such page."))
    return _EPOCH + int(found[1]) * _MICROSECOND, int(found[2])
