"""What other fares would have made of a day's trips."""

import datetime as dt

import pytest

from stepper.models import ServiceSettings
from tests.factories import ALMATY, ASTANA, DriverFactory, TripFactory
from tests.trips.reports.generated import MONDAY
from trips.models import Trip
from trips.reports.fare_trial import try_fares
from trips.states import TripStatus, VehicleClass

pytestmark = pytest.mark.django_db

NOON = MONDAY + dt.timedelta(hours=12)


def completed(**fields: object) -> Trip:
    trip: Trip = TripFactory(
        status=TripStatus.COMPLETED, driver=DriverFactory(at=ALMATY), **{"completed_at": NOON} | fields
    )
    return trip


def test_same_fares_change_nothing_and_others_are_summed_by_class() -> None:
    sedan, van = completed(), completed(vehicle_class=VehicleClass.VAN, dropoff=ASTANA)
    completed(completed_at=NOON + dt.timedelta(days=1))
    same = try_fares(MONDAY.date(), ServiceSettings())
    assert (same.total.trips, same.total.change, same.total.fee_change) == (2, 0, 0)

    trial = try_fares(MONDAY.date(), ServiceSettings(base_fare=600, platform_fee_percent=20))
    assert [(label, sums.trips, sums.change) for label, sums in trial.classes] == [("Sedan", 1, 100), ("Van", 1, 150)]
    assert (trial.total.least, trial.total.most) == (100, 150)
    assert trial.total.new_fee == round((sedan.fare + 100) * 0.2) + round((van.fare + 150) * 0.2)
    assert Trip.objects.get(pk=sedan.pk).fare == sedan.fare


def test_day_without_trips_has_nothing_to_try_on() -> None:
    trial = try_fares(MONDAY.date(), ServiceSettings())
    assert (trial.total.trips, trial.classes) == (0, [])
