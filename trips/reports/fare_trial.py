"""What other fares would have made of the trips of a day: nothing is stored."""

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass

from stepper.models import ServiceSettings
from trips import pricing
from trips.models import Trip
from trips.states import TripStatus, VehicleClass

from .days import bounds


@dataclass(slots=True)
class Sums:
    """Whole tenge; `least`, `most`: by how much the fare of a single trip would change."""

    trips: int = 0
    fare: int = 0
    fee: int = 0
    new_fare: int = 0
    new_fee: int = 0
    least: int = 0
    most: int = 0

    @property
    def change(self) -> int:
        return self.new_fare - self.fare

    @property
    def fee_change(self) -> int:
        return self.new_fee - self.fee

    @property
    def earned(self) -> int:
        return self.fare - self.fee

    @property
    def new_earned(self) -> int:
        return self.new_fare - self.new_fee

    def add(self, trip: Trip, quote: pricing.Quote) -> None:
        change = quote.fare - trip.fare
        self.least = min(self.least, change) if self.trips else change
        self.most = max(self.most, change) if self.trips else change
        self.trips += 1
        self.fare += trip.fare
        self.fee += trip.platform_fee
        self.new_fare += quote.fare
        self.new_fee += quote.platform_fee


@dataclass(frozen=True, slots=True)
class Trial:
    day: dt.date
    total: Sums
    # (class in words, sums) of those that there were trips of.
    classes: list[tuple[str, Sums]]


def try_fares(day: dt.date, settings: ServiceSettings) -> Trial:
    """Price the trips that were completed on a day anew, by settings that need not be stored; one query.

    Compared with what was agreed when they were booked, by whatever fares were in force then.
    """
    start, end = bounds(day)
    rows = Trip.objects.filter(status=TripStatus.COMPLETED, completed_at__gte=start, completed_at__lt=end).order_by()
    columns = ("seats", "vehicle_class", "pickup_lat", "pickup_lng", "dropoff_lat", "dropoff_lng", "stops")
    total, classes = Sums(), defaultdict[str, Sums](Sums)
    for trip in rows.only(*columns, "fare", "platform_fee").iterator(1000):
        route = trip.route_points
        quote = pricing.quote(route[0], route[-1], trip.seats, trip.vehicle_class, settings, stops=route[1:-1])
        for sums in (total, classes[trip.vehicle_class]):
            sums.add(trip, quote)
    return Trial(day, total, [(str(one.label), classes[one]) for one in VehicleClass if one in classes])
