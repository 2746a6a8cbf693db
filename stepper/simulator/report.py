"""What became of a replay's trips, read from the database rather than believed from the clients.

A trip has had two drivers when a second took it while the first still had it; trips overlap when one driver's
spans from accepting to completing intersect. Both must be zero.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db.models import F, Max, QuerySet, RowRange, Window
from django.db.models.functions import Coalesce, Now

from stepper.simulator.agreement import Differences, Figures
from trips.eligibility import in_words
from trips.models import DispatchRound, Offer, Trip, TripTransition
from trips.states import ASSIGNED, OfferStatus, Role, TripStatus

# The share that must be completed.
COMPLETED_SHARE = 0.9
# A driver whom staff chose is only known from the first step that they take.
_CHOSEN_BY_STAFF = 0
_HELD = {status.value for status in ASSIGNED} | {TripStatus.COMPLETED.value}


@dataclass
class Report:
    trips: int
    accepted: int
    completed: int
    unfilled: int
    double_assigned: int
    overlaps: int
    accept_s: list[float]
    pickup_km: list[float]
    # Why trips were left without a driver -> how many.
    reasons: Counter[str]
    # Trips that are neither completed nor unfilled: status -> how many.
    unfinished: Counter[str]
    trouble: Counter[str] = field(default_factory=Counter)
    # Figures of the processes that are compared with the database, and those of them that differ. A process that was
    # killed takes with it what it had counted.
    figures: Figures = field(default_factory=dict)
    differences: Differences = field(default_factory=dict)

    @property
    def errors(self) -> int:
        return self.trouble.total()

    @property
    def passed(self) -> bool:
        return (
            not (self.double_assigned or self.overlaps or self.errors)
            and self.completed + self.unfilled == self.trips
            and self.completed >= COMPLETED_SHARE * self.trips
        )

    def as_json(self) -> dict[str, int]:
        names = ("trips", "accepted", "completed", "unfilled", "double_assigned", "overlaps", "errors")
        return {name: getattr(self, name) for name in names}

    def rows(self) -> list[tuple[str, str]]:
        """Return what people read: what, how much."""
        rows = [
            ("Trips", f"{self.trips}"),
            ("Accepted", f"{self.accepted}"),
            ("Completed", f"{self.completed}"),
            ("Unfilled", f"{self.unfilled}"),
            *(("  because", f"{number} × {reason}") for reason, number in self.reasons.most_common()),
            *((f"Left as {status}", f"{number}") for status, number in self.unfinished.most_common()),
            ("Seconds to accept", _spread(self.accept_s, ("median", 50), ("p95", 95))),
            ("Pickup distance, km", _mean(self.pickup_km)),
            ("Trips with two drivers", f"{self.double_assigned}"),
            ("Overlaps", f"{self.overlaps}"),
            ("Errors in any log", f"{self.errors}"),
        ]
        if self.figures:
            rows.append(("Figures that agree with the database", f"{len(self.figures) - len(self.differences)}"))
        rows += [
            (f"  not {name}", f"{counted}, the database has {stored}")
            for name, (counted, stored) in self.differences.items()
        ]
        return [*rows, *(("  that is", f"{number} × {what}") for what, number in self.trouble.most_common(10))]


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the percentile by nearest rank: a value that occurred."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _spread(values: Sequence[float], *points: tuple[str, int]) -> str:
    return ", ".join(f"{name} {percentile(values, point):.2f}" for name, point in points) if values else "–"


def _mean(values: Sequence[float]) -> str:
    return f"mean {statistics.fmean(values):.2f}, p95 {percentile(values, 95):.2f}" if values else "–"


def read(trips: QuerySet[Trip]) -> Report:
    """Read what became of `trips`, in the database they are in."""
    using = trips.db
    rows = list(trips.order_by("pk"))
    transitions = TripTransition.objects.using(using).filter(trip__in=trips).order_by("pk")
    was_accepted = set(transitions.filter(to_status=TripStatus.ACCEPTED).values_list("trip_id", flat=True))
    completed = [trip for trip in rows if trip.status == TripStatus.COMPLETED]
    unfilled = [trip for trip in rows if trip.driver_id is None and trip.status != TripStatus.COMPLETED]
    others = [trip for trip in rows if trip.driver_id is not None and trip.status != TripStatus.COMPLETED]
    winners = Offer.objects.using(using).filter(trip__in=trips, status=OfferStatus.ACCEPTED, released_at__isnull=True)
    return Report(
        trips=len(rows),
        accepted=len(was_accepted),
        completed=len(completed),
        unfilled=len(unfilled),
        double_assigned=_double_assigned(transitions),
        overlaps=overlaps(trips),
        accept_s=[(trip.accepted_at - trip.created_at).total_seconds() for trip in rows if trip.accepted_at],
        pickup_km=list(winners.values_list("distance_km", flat=True)),
        reasons=Counter(_why(trip) for trip in unfilled),
        unfinished=Counter(trip.status for trip in others),
    )


def _double_assigned(transitions: QuerySet[TripTransition]) -> int:
    """Count the trips that somebody accepted, or drove, while they were another's."""
    holders: dict[int, int | None] = {}
    double: set[int] = set()
    for step in transitions.iterator():
        holder = holders.get(step.trip_id)
        if step.to_status == TripStatus.ACCEPTED:
            if holder is not None:
                double.add(step.trip_id)
            holders[step.trip_id] = step.by_id if step.role == Role.DRIVER else _CHOSEN_BY_STAFF
        elif step.to_status not in _HELD:
            holders[step.trip_id] = None
        elif step.role == Role.DRIVER and holder == _CHOSEN_BY_STAFF:
            holders[step.trip_id] = step.by_id
        elif step.role == Role.DRIVER and step.by_id != holder:
            double.add(step.trip_id)
    return len(double)


def overlaps(trips: QuerySet[Trip]) -> int:
    """Count the trips that a driver accepted before one accepted earlier had ended. The database counts."""
    spans = (
        trips.filter(driver__isnull=False, accepted_at__isnull=False)
        .annotate(ended_at=Coalesce("completed_at", "cancelled_at", Now()))
        .annotate(
            earlier_ended_at=Window(
                Max("ended_at"),
                partition_by=F("driver_id"),
                order_by=[F("accepted_at").asc(), F("pk").asc()],
                frame=RowRange(start=None, end=-1),
            )
        )
    )
    return spans.filter(earlier_ended_at__gt=F("accepted_at")).count()


def _why(trip: Trip) -> str:
    """Return what staff would read of a trip without a driver: how its last round ended, what was said at the end."""
    offers = Offer.objects.using(trip._state.db).filter(trip=trip, round_number=trip.round_number)
    said = Counter(offers.values_list("status", "reason"))
    last = DispatchRound.objects.using(trip._state.db).filter(trip=trip).order_by("number").last()
    parts = [f"{number} {reason or status}" for (status, reason), number in sorted(said.items())]
    if last and last.reasons:
        parts.append(f"not asked: {in_words(last.reasons)}")
    elif not parts:
        parts.append("no driver within the radius" if last else "nobody looked for a driver")
    return "; ".join([trip.cancel_reason, *parts] if trip.cancel_reason else parts)
