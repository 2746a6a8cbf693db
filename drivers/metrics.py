"""Driver metrics: the figures that the ranking weighs, computed by the dispatcher and stored per driver.

The average of the stars is not among them (trips.ratings.rate). Stored, so that a search does not count a week of
offers while a passenger waits. They are computed when a driver comes online or a trip of theirs ends, and every quarter
of an hour while they are online.
"""

import datetime as dt

from django.db.models import Case, Count, Max, Q, QuerySet, Value, When
from django.db.models.functions import Now

from drivers.models import Availability, Driver, DriverMetrics
from stepper.db.transactions import in_transaction, isolate_failures
from trips.models import Offer, Trip, TripLeg
from trips.states import FINISHED, OfferStatus, TripStatus

PERIOD = dt.timedelta(days=7)
COUNTED_EVERY = dt.timedelta(minutes=15)


def schedule_count(driver_id: int) -> None:
    """Schedule the metrics for the dispatcher's next pass. The driver's row is locked."""
    row = DriverMetrics(driver_id=driver_id, due_at=Now())
    DriverMetrics.objects.bulk_create([row], update_conflicts=True, unique_fields=["driver"], update_fields=["due_at"])


def count_due(limit: int) -> int:
    """Compute the metrics of drivers that are due, at most `limit`; return how many."""
    due = DriverMetrics.objects.filter(due_at__lte=Now()).order_by("due_at")
    return isolate_failures(_count_drivers, list(due.values_list("pk", flat=True)[:limit]))


@in_transaction
def _count_drivers(driver_ids: list[int]) -> int:
    """Compute the metrics of these drivers; those whose rows are locked elsewhere are left to the next pass."""
    mine = DriverMetrics.objects.filter(pk__in=driver_ids, due_at__lte=Now()).order_by("pk")
    rows = {row.pk: row for row in mine.select_for_update(skip_locked=True, of=("self",))}
    offers: QuerySet[Offer] = Offer.objects.filter(driver__in=rows, created_at__gt=Now() - PERIOD)
    accepted = Q(status=OfferStatus.ACCEPTED)
    # Offers withdrawn because another driver accepted, the passenger cancelled or staff assigned the trip count neither
    # way, and a trip that staff took off the driver is not one that they gave back.
    answered = accepted | Q(status__in=[OfferStatus.DECLINED, OfferStatus.EXPIRED])
    counted = (
        offers.order_by()
        .values("driver")
        .annotate(
            accepted=Count("pk", filter=accepted),
            answered=Count("pk", filter=answered),
            given_back=Count("pk", filter=Q(released_at__isnull=False, taken_off=False)),
        )
    )
    for row in rows.values():
        row.acceptance, row.cancellations, row.last_trip_at = None, 0, None
    for counts in counted:
        row = rows[counts["driver"]]
        row.acceptance = counts["accepted"] / counts["answered"] if counts["answered"] else None
        row.cancellations = counts["given_back"]
    ended = Trip.objects.filter(driver__in=rows, status=TripStatus.COMPLETED).order_by().values("driver")
    for found in ended.annotate(last=Max("completed_at")):
        rows[found["driver"]].last_trip_at = found["last"]
    handed_over = TripLeg.objects.filter(driver__in=rows, trip__status__in=sorted(FINISHED)).order_by().values("driver")
    for found in handed_over.annotate(last=Max("ended_at")):
        row = rows[found["driver"]]
        row.last_trip_at = max(row.last_trip_at or found["last"], found["last"])
    DriverMetrics.objects.bulk_update(rows.values(), ["acceptance", "cancellations", "last_trip_at"], batch_size=100)
    online = Driver.objects.filter(pk__in=rows).exclude(availability=Availability.OFFLINE).values("pk")
    DriverMetrics.objects.filter(pk__in=rows).update(
        due_at=Case(When(pk__in=online, then=Now() + COUNTED_EVERY), default=Value(None))
    )
    return len(rows)
