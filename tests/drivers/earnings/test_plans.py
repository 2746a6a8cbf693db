"""A driver's earnings of a period are read by an index: not all trips that they ever completed."""

from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.utils import timezone

from drivers.earnings import hours, listing, periods, sums
from drivers.earnings.periods import Kind
from drivers.models import Driver
from stepper.models import ServiceSettings
from tests.factories import ALMATY, DriverFactory
from tests.plans import full_scans, plan, statements

pytestmark = pytest.mark.django_db


def test_statements_read_the_period_by_an_index() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # What rolled back tests have left in the files counts for a plan.
            cursor.execute("TRUNCATE trips_trip, drivers_availabilitychange CASCADE")
    driver: Driver = DriverFactory(at=ALMATY)
    now = timezone.now()
    month = periods.current(Kind.MONTH, ZoneInfo(driver.timezone), now)

    def read() -> None:
        sums.by_span(driver.pk, month)
        sums.cash_collected(driver.pk, month)
        listing.page(driver.pk, month)
        listing.all_trips(driver.pk, month)
        hours.worked(driver, month, now=now, settings=ServiceSettings())

    with connection.cursor() as cursor:
        # Those of the reports have the rows of all drivers: only of a table with rows does the database see that.
        for index in ("trip_completed", "availability_at"):
            cursor.execute(f"DROP INDEX {index}")
    plans = [plan(sql, params, is_large=True) for sql, params in statements(read)]
    for lines in plans:
        assert "_completed_of_driver" in "".join(lines) or "availability_driver_at" in "".join(lines), lines
        # What the period has may be sorted.
        assert [line for line in full_scans(lines) if "Seq Scan" in line or line.startswith("SCAN")] == []
