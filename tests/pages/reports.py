"""Whoever reads reports, with a month of a company in them."""

import datetime as dt

from django.contrib.auth.models import Permission
from django.utils import timezone

from drivers.models import Driver
from stepper.models import ServiceSettings, User
from stepper.ops.reports.fares import change_fares, version_of
from tests.factories import ALMATY, DriverFactory, TripFactory, UserFactory
from tests.pages.cast import DAY, HOUR, LONG_NAME, Person
from trips.models import DriverDay, ReportState, TripDay, TripHour, TripReason
from trips.reports.days import bounds, day_of
from trips.states import TripStatus, VehicleClass

_PERMISSIONS = ("view_report", "view_revenue", "change_fares")
_TOWNS = ("geonames-1526384", "geonames-1526273", "geonames-1518980", "")


def finance(variant: str = "") -> Person:
    """Staff who see all reports; `empty`: of a company that has had no trip yet."""
    user: User = UserFactory.create(name=LONG_NAME, email=f"finance{variant}@example.test", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=_PERMISSIONS))
    if variant == "empty":
        return Person(user)
    driver: Driver = DriverFactory.create(at=ALMATY, user__name=LONG_NAME)
    drivers = [driver, *DriverFactory.create_batch(3)]
    now = timezone.now()
    today = day_of(now)
    noon = bounds(today - DAY)[0] + 12 * HOUR
    for hours in range(3):
        TripFactory.create(status=TripStatus.COMPLETED, driver=driver, completed_at=noon + hours * HOUR, fare=12_480)
    for number in range(30):
        _count(today - number * DAY, drivers, number)
    ReportState.objects.update_or_create(
        pk=1, defaults={"counted_at": now, "fill_from": today - 3 * DAY, "zone": "Asia/Almaty"}
    )
    settings = ServiceSettings.objects.get_or_create(pk=1)[0]
    change_fares({"base_fare": settings.base_fare + 50}, version_of(settings), User.objects.get(pk=user.pk))
    return Person(user, {"paid": driver.pk})


def _count(day: dt.date, drivers: list[Driver], number: int) -> None:
    for at, town in enumerate(_TOWNS):
        trips = 190 - 30 * at + (number * 37) % 60
        common = {"day": day, "place": town, "vehicle_class": VehicleClass.SEDAN}
        TripDay.objects.create(
            **common,
            trips=trips,
            completed=trips - 14,
            cancelled=8,
            unfilled=5,
            accepted=trips - 30,
            accept_s=95 * (trips - 30),
            accepted_30s=20,
            accepted_1min=30,
            accepted_2min=10,
            accepted_5min=20,
            ended=trips - 14,
            fare=(trips - 14) * 2480,
            fee=(trips - 14) * 372,
            stars_5=20,
            stars_4=6,
            stars_1=1,
        )
        for hour in range(24):
            unfilled = max(0, 3 - abs(hour - 8)) + (hour * at) % 3
            TripHour.objects.create(**common, hour=hour, trips=4 + unfilled, unfilled=unfilled)
        for side, code in (("organiser", "waited_too_long"), ("organiser", ""), ("driver", "no_show"), ("staff", "")):
            TripReason.objects.create(**common, kind="cancelled", side=side, code=code, trips=2 + at)
        for code in ("nobody_online", "vehicle_overlapping", "nobody_accepted"):
            TripReason.objects.create(**common, kind="unfilled", code=code, trips=1 + at)
    for driver in drivers:
        DriverDay.objects.create(
            day=day,
            driver=driver,
            trips=9,
            fare=22_480,
            fee=3_372,
            owed=3_372 if driver.pk % 2 else -1_240,
            online_s=9 * 3600,
            on_trips_s=5 * 3600,
            stars=14,
            ratings=3,
        )
