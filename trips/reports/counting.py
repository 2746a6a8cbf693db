"""What a day has: its trips by place, class and hour, why they were not driven, and what each driver did.

Counted from the rows themselves, always for a day as a whole: counting it again gives the same, however often, so a
change that comes late needs nothing but that.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Model, OuterRef, Subquery, Sum

from drivers.earnings.sums import OWN, OWN_OF_LEG
from drivers.models import Availability, AvailabilityChange, Driver
from stepper.models import ServiceSettings
from trips.models import (
    DispatchRound,
    DriverDay,
    Rating,
    Trip,
    TripDay,
    TripHour,
    TripLeg,
    TripReason,
    TripTransition,
)
from trips.states import Role, TripStatus

from . import reasons
from .days import DAY, bounds, service_zone
from .towns import Towns

# Accepted within so many seconds of the booking -> the column that counts it.
ACCEPTED_WITHIN_S = {30: "accepted_30s", 60: "accepted_1min", 120: "accepted_2min", 300: "accepted_5min"} | {
    600: "accepted_10min"
}
_SECOND = dt.timedelta(seconds=1)
_BATCH = 2000

Counts = dict[str, int]


@dataclass
class Counted:
    """The rows of a day. `kept`: the parts that pruning has deleted the sources of; what is stored of them stays."""

    day: dt.date
    trips: list[TripDay] = field(default_factory=list)
    hours: list[TripHour] = field(default_factory=list)
    reasons: list[TripReason] = field(default_factory=list)
    drivers: list[DriverDay] = field(default_factory=list)
    keeps_hours: bool = False
    keeps_unfilled: bool = False


def count_day(day: dt.date, towns: Towns, *, settings: ServiceSettings, now: dt.datetime) -> Counted:
    """Count a day; about a dozen queries, each by an index."""
    start, end = bounds(day)
    counted = Counted(
        day,
        keeps_hours=start < now - dt.timedelta(days=max(settings.working_time_kept_days, settings.rounds_kept_days)),
        keeps_unfilled=start - DAY < now - dt.timedelta(days=settings.rounds_kept_days),
    )
    _Trips(counted, towns, start, end).count()
    counted.drivers = _count_drivers(day, start, end, now=now, with_hours=not counted.keeps_hours)
    return counted


class _Trips:
    """Counts the trips of a day, one after another, into sums by place and class."""

    def __init__(self, counted: Counted, towns: Towns, start: dt.datetime, end: dt.datetime) -> None:
        self._counted, self._towns, self._start, self._end = counted, towns, start, end
        self._days: dict[tuple[str, str], Counts] = defaultdict(lambda: defaultdict(int))
        self._hours: dict[tuple[str, str, int], Counts] = defaultdict(lambda: defaultdict(int))
        self._reasons: dict[tuple[str, str, str, str, str], int] = defaultdict(int)

    def count(self) -> None:
        self._count_departing()
        self._count_ended()
        self._count_ratings()
        counted = self._counted
        counted.trips = [
            TripDay(day=counted.day, place=place, vehicle_class=vehicle_class, **sums)
            for (place, vehicle_class), sums in self._days.items()
        ]
        counted.hours = [
            TripHour(day=counted.day, place=place, vehicle_class=vehicle_class, hour=hour, **sums)
            for (place, vehicle_class, hour), sums in self._hours.items()
        ]
        counted.reasons = [
            TripReason(
                day=counted.day, kind=kind, side=side, code=code, place=place, vehicle_class=vehicle_class, trips=trips
            )
            for (kind, side, code, place, vehicle_class), trips in self._reasons.items()
        ]

    def _count_departing(self) -> None:
        departing = Trip.objects.filter(departure_at__gte=self._start, departure_at__lt=self._end).order_by()
        cancelled = self._cancellations()
        unfilled: dict[int, tuple[str, str]] = {}
        columns = ("pk", "status", "departure_at", "pickup_cell", "vehicle_class", "cancel_code", "driver")
        for pk, status, departure_at, cell, vehicle_class, code, driver_id in (
            departing.exclude(status=TripStatus.DRAFT).values_list(*columns).iterator(_BATCH)
        ):
            key = (self._towns.around(cell), vehicle_class)
            hour = self._hours[*key, departure_at.astimezone(service_zone()).hour]
            day = self._days[key]
            day["trips"] += 1
            hour["trips"] += 1
            if status == TripStatus.COMPLETED:
                day["completed"] += 1
            elif status == TripStatus.CANCELLED:
                # Without its step, which nothing deletes so early, by what the trip itself says.
                role, from_status = cancelled.get(pk, ("", TripStatus.ACCEPTED if driver_id else TripStatus.UNFILLED))
                self._reasons[TripReason.Kind.CANCELLED, role, reasons.cancel_code(role, from_status, code), *key] += 1
                if reasons.found_nobody(role, from_status, code):
                    day["unfilled"] += 1
                    hour["unfilled"] += 1
                    unfilled[pk] = key
                else:
                    day["cancelled"] += 1
        self._count_unfilled(unfilled)
        self._count_accepted(departing)

    def _cancellations(self) -> dict[int, tuple[str, str]]:
        """Return by whom and from which status trips of the day were cancelled."""
        steps = TripTransition.objects.filter(
            trip__departure_at__gte=self._start,
            trip__departure_at__lt=self._end,
            trip__status=TripStatus.CANCELLED,
            to_status=TripStatus.CANCELLED,
        ).order_by()
        return {trip_id: (role, status) for trip_id, role, status in steps.values_list("trip", "role", "from_status")}

    def _count_unfilled(self, unfilled: dict[int, tuple[str, str]]) -> None:
        if not unfilled or self._counted.keeps_unfilled:
            return
        waves: dict[int, list[tuple[int, int, int, dict[str, int]]]] = {pk: [] for pk in unfilled}
        columns = ("trip", "number", "considered", "offered", "reasons")
        for pks in _batches(list(unfilled)):
            for trip_id, *wave in DispatchRound.objects.filter(trip__in=pks).order_by().values_list(*columns):
                waves[trip_id].append(tuple(wave))
        for pk, key in unfilled.items():
            self._reasons[TripReason.Kind.UNFILLED, "", reasons.unfilled_code(waves[pk]), *key] += 1

    def _count_accepted(self, departing: Any) -> None:
        taken = departing.filter(is_now=True, former_legs=0, accepted_at__isnull=False).exclude(status=TripStatus.DRAFT)
        columns = ("created_at", "accepted_at", "pickup_cell", "vehicle_class")
        for created_at, accepted_at, cell, vehicle_class in taken.values_list(*columns).iterator(_BATCH):
            seconds = max(0, (accepted_at - created_at) // _SECOND)
            sums = self._days[self._towns.around(cell), vehicle_class]
            sums["accepted"] += 1
            sums["accept_s"] += seconds
            for most, column in ACCEPTED_WITHIN_S.items():
                if seconds <= most:
                    sums[column] += 1
                    break

    def _count_ended(self) -> None:
        ended = Trip.objects.filter(
            status=TripStatus.COMPLETED, completed_at__gte=self._start, completed_at__lt=self._end
        ).order_by()
        columns = ("pickup_cell", "vehicle_class", "fare", "platform_fee")
        for cell, vehicle_class, fare, fee in ended.values_list(*columns).iterator(_BATCH):
            sums = self._days[self._towns.around(cell), vehicle_class]
            sums["ended"] += 1
            sums["fare"] += fare
            sums["fee"] += fee

    def _count_ratings(self) -> None:
        given = Rating.objects.filter(created_at__gte=self._start, created_at__lt=self._end, role=Role.ORGANISER)
        columns = ("stars", "trip__pickup_cell", "trip__vehicle_class")
        for stars, cell, vehicle_class in given.order_by().values_list(*columns).iterator(_BATCH):
            self._days[self._towns.around(cell), vehicle_class][f"stars_{stars}"] += 1


# Drivers


def _count_drivers(
    day: dt.date, start: dt.datetime, end: dt.datetime, *, now: dt.datetime, with_hours: bool
) -> list[DriverDay]:
    found: dict[int, Counts] = defaultdict(lambda: defaultdict(int))
    trips = Trip.objects.filter(
        status=TripStatus.COMPLETED, completed_at__gte=start, completed_at__lt=end, driver__isnull=False
    )
    legs = TripLeg.objects.filter(
        trip__status=TripStatus.COMPLETED, trip__completed_at__gte=start, trip__completed_at__lt=end
    )
    for rows, own in ((trips, OWN), (legs, OWN_OF_LEG)):
        sums: Any = {f"sum_{name}": Sum(name) for name in own}
        grouped = rows.order_by().annotate(**own).values("driver").annotate(trips=Count("pk"), **sums)
        for driver_id, number, fare, fee, _earned, owed in grouped.values_list("driver", "trips", *sums):
            for name, value in (("trips", number), ("fare", fare), ("fee", fee), ("owed", owed)):
                found[driver_id][name] += value
    given = Rating.objects.filter(created_at__gte=start, created_at__lt=end, role=Role.ORGANISER).order_by()
    rated = given.filter(about__driver__isnull=False).values("about__driver")
    for driver_id, stars, number in rated.annotate(stars_sum=Sum("stars"), number=Count("pk")).values_list(
        "about__driver", "stars_sum", "number"
    ):
        found[driver_id] |= {"stars": stars, "ratings": number}
    if with_hours:
        for driver_id, online, on_trips in hours_of_all(start, min(end, now)):
            found[driver_id] |= {"online_s": online // _SECOND, "on_trips_s": on_trips // _SECOND}
    return [DriverDay(day=day, driver_id=driver_id, **counts) for driver_id, counts in found.items()]


def hours_of_all(start: dt.datetime, end: dt.datetime) -> Iterator[tuple[int, dt.timedelta, dt.timedelta]]:
    """Return (driver, online, on trips) of all drivers who were online between two instants, as drivers.earnings.hours.

    `end`: not after now.
    """
    changes: dict[int, list[tuple[int, dt.datetime, str, str]]] = defaultdict(list)
    columns = ("driver", "pk", "created_at", "previous", "availability")
    within = AvailabilityChange.objects.filter(created_at__gte=start, created_at__lt=end).order_by()
    for driver_id, *change in within.values_list(*columns).iterator(_BATCH):
        changes[driver_id].append(tuple(change))
    for driver_id, rows in changes.items():
        rows.sort()
        yield driver_id, *_time_spent(rows, rows[0][2], start, end)
    later = AvailabilityChange.objects.filter(driver=OuterRef("pk"), created_at__gte=end)
    first_later = Subquery(later.order_by("created_at", "pk").values("previous")[:1])
    all_day = Driver.objects.annotate(then=first_later).order_by()
    # Told apart here: in a condition the subquery would be read for each part of it.
    for driver_id, then, now in all_day.values_list("pk", "then", "availability").iterator(_BATCH):
        state = then or now
        if driver_id not in changes and state != Availability.OFFLINE:
            yield driver_id, *_time_spent([], state, start, end)


def _time_spent(
    rows: list[tuple[int, dt.datetime, str, str]], state: str, start: dt.datetime, end: dt.datetime
) -> tuple[dt.timedelta, dt.timedelta]:
    spent = dict.fromkeys(Availability.values, dt.timedelta())
    at = start
    for _pk, changed_at, _previous, availability in [*rows, (0, end, "", "")]:
        until = min(max(changed_at, at), end)
        spent[state] += until - at
        at, state = until, availability
    busy = spent[Availability.BUSY]
    return spent[Availability.AVAILABLE] + busy, busy


# Writing


def write_day(counted: Counted) -> None:
    """Replace what is stored of a day, inside the caller's transaction."""
    stored_reasons = TripReason.objects.filter(day=counted.day)
    if counted.keeps_unfilled:
        stored_reasons = stored_reasons.exclude(kind=TripReason.Kind.UNFILLED)
    if counted.keeps_hours:
        _take_over_hours(counted)
    for stored in (
        TripDay.objects.filter(day=counted.day),
        TripHour.objects.filter(day=counted.day),
        stored_reasons,
        DriverDay.objects.filter(day=counted.day),
    ):
        stored._raw_delete(stored.db)
    written: tuple[list[Any], ...] = (counted.trips, counted.hours, counted.reasons, counted.drivers)
    for rows in written:
        model: type[Model] | None = type(rows[0]) if rows else None
        if model is not None:
            model._base_manager.bulk_create(rows, batch_size=500)


def _take_over_hours(counted: Counted) -> None:
    rows = {row.driver_id: row for row in counted.drivers}
    for stored in DriverDay.objects.filter(day=counted.day, online_s__gt=0):
        row = rows.get(stored.driver_id)
        if row is None:
            row = DriverDay(day=counted.day, driver_id=stored.driver_id)
            counted.drivers.append(row)
        row.online_s, row.on_trips_s = stored.online_s, stored.on_trips_s


def _batches(pks: list[int]) -> Iterable[list[int]]:
    return (pks[at : at + 500] for at in range(0, len(pks), 500))
