"""The completed trips of a period, each with its fare, fee, share and cash: pages of them, and all for a statement."""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, CharField, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from stepper.errors import NotFound
from trips.models import Booking, Trip, TripLeg
from trips.states import BookingStatus

from .periods import Period
from .sums import OWN, OWN_OF_LEG, completed, former_legs

PAGE = 20
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class EarnedTrip:
    """A completed trip, or the driver's leg of it, and what came of it; `cash` is what the passengers paid them."""

    trip_id: int
    completed_at: dt.datetime
    pickup: str
    dropoff: str
    distance_km: float
    fare: int
    fee: int
    earned: int
    # As of Sums.
    fee_owed: int
    cash: int


@dataclass(frozen=True, slots=True)
class TripsPage:
    """One page of a period's trips, the latest first. `more`: where the next page begins; empty: this is the last."""

    trips: list[EarnedTrip]
    more: str


def all_trips(driver_id: int, period: Period) -> list[EarnedTrip]:
    """Read all trips of the period in the order of their completion; one query, so they are of one moment."""
    found = _read(completed(driver_id, period), former_legs(driver_id, period))
    return [EarnedTrip(*row) for row in found.order_by("at", "trip_pk")]


def page(driver_id: int, period: Period, before: str = "") -> TripsPage:
    """Read a page of the period's trips; one query.

    `before`: the `more` of the page before, empty: the first page.

    Raises:
        NotFound: `before` is not the `more` of any page
    """
    trips, legs = completed(driver_id, period), former_legs(driver_id, period)
    if before:
        trips, legs = (
            trips.filter(_ended_before(before)),
            legs.filter(_ended_before(before, at="trip_ended_at", pk="trip__pk")),
        )
    found = _read(trips, legs).order_by("-at", "-trip_pk")
    rows = [EarnedTrip(*row) for row in found[: PAGE + 1]]
    more = ""
    if len(rows) > PAGE:
        last = rows[PAGE - 1]
        more = f"{(last.completed_at - _EPOCH) // _MICROSECOND}-{last.trip_id}"
    return TripsPage(rows[:PAGE], more)


def _read(trips: QuerySet[Trip], legs: QuerySet[TripLeg]) -> QuerySet[Any]:
    """Return the columns of EarnedTrip of the trips and the legs together; `at` and `trip_pk` say their order."""
    paid = Booking.objects.filter(trip=OuterRef("pk"), status=BookingStatus.COMPLETED, payment_method="cash")
    total = paid.order_by().values("trip").annotate(total=Sum("amount")).values("total")
    last = TripLeg.objects.filter(trip=OuterRef("pk")).order_by("-number").values("to_name")
    began = Case(When(former_legs=0, then=F("pickup_name")), default=Subquery(last[:1]), output_field=CharField())
    of_trips = trips.annotate(
        trip_pk=F("pk"),
        at=F("completed_at"),
        pickup=began,
        dropoff=F("dropoff_name"),
        km=F("distance_km") - F("former_km"),
        cash=Coalesce(Subquery(total), 0, output_field=IntegerField()),
        **OWN,
    )
    of_legs = legs.annotate(
        trip_pk=F("trip_id"),
        at=F("trip_ended_at"),
        pickup=F("from_name"),
        dropoff=F("to_name"),
        cash=Value(0),
        **OWN_OF_LEG,
    )
    columns = ("trip_pk", "at", "pickup", "dropoff", "km", *OWN, "cash")
    return of_trips.order_by().values_list(*columns).union(of_legs.order_by().values_list(*columns), all=True)


def _ended_before(before: str, *, at: str = "completed_at", pk: str = "pk") -> Q:
    """Return the condition on trips behind the page's last one. `at`, `pk`: when a row's trip ended, and its id."""
    ended_at, last = _parse_before(before)
    return Q(**{f"{at}__lt": ended_at}) | Q(**{at: ended_at, f"{pk}__lt": last})


def _parse_before(before: str) -> tuple[dt.datetime, int]:
    # Up to the year 5138, so no instant is too large.
    found = re.fullmatch(r"([0-9]{1,17})-([0-9]{1,18})", before)
    if found is None:
        raise NotFound("not_found", _("There is no such page."))
    return _EPOCH + int(found[1]) * _MICROSECOND, int(found[2])
